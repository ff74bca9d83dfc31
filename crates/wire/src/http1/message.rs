//! The nouns of a message that head, body and splitter share.

/// The direction of messages, named by what is sent in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    Requests,
    /// From server to client.
    Responses,
}

/// The method of the request that a response answers, as far as the response's body depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnsweredMethod {
    /// `HEAD`: there is no body, whatever the head says.
    Head,
    /// `CONNECT`: after success there is a tunnel, and no further message.
    Connect,
    /// Any other.
    #[default]
    Other,
}
