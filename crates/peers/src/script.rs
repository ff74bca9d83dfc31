//! The script of a server, as it stands in a file.

use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The doings of a server with one connection, step by step. After the last step it keeps the
/// connection open, silently, until it is stopped.
///
/// In TOML a script is a list, in which a step without a value is its name:
///
/// ```
/// # let text = r#"
/// steps = [
///     "read_head",
///     { answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" },
///     { wait = "200ms" },
///     "reset",
/// ]
/// # "#;
/// # let script: peers::ConnectionScript = toml::from_str(text).unwrap();
/// # assert_eq!(script.steps.len(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionScript {
    /// For so long after the one before it (the first: after the server listens) no connection is
    /// accepted: whoever comes earlier waits in the kernel's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_after: Option<StepTime>,
    /// The steps, in their order.
    pub steps: Vec<ServerStep>,
}

impl ConnectionScript {
    /// A script of these steps.
    #[must_use]
    pub fn of(steps: impl IntoIterator<Item = ServerStep>) -> Self {
        Self { accept_after: None, steps: steps.into_iter().collect() }
    }

    /// Returns true if it is to write when its own side is closed already.
    pub(crate) fn writes_behind_its_end(&self) -> bool {
        let is_end = |step: &ServerStep| matches!(step, ServerStep::HalfClose);
        let writes = |step: &ServerStep| {
            matches!(step, ServerStep::Answer(_) | ServerStep::Serve(_) | ServerStep::Fill(_))
        };
        self.steps.iter().skip_while(|step| !is_end(step)).any(writes)
    }
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerStep {
    /// Reads until the head of the next request is whole, and no byte beyond it. A connection that
    /// ends before is over; and so it is to be when something has come that is no HTTP/1, because
    /// behind that there is no further head.
    ReadHead,
    /// Reads so many bytes of the request's body, framing included, or to its end if it is shorter,
    /// and no byte beyond it.
    ReadBody(u64),
    /// Reads a whole request: its head and all of its body, for which it asks (100) if the client
    /// waits to be asked.
    ReadRequest,
    /// Writes this text, as it stands.
    Answer(String),
    /// Reads request after request, each whole, and answers each with this text, until the client
    /// leaves.
    Serve(String),
    /// Writes so many bytes of filler.
    Fill(u64),
    /// Does nothing for so long.
    Wait(StepTime),
    /// Waits until further bytes of the client have come, and leaves them unread: a close then is a
    /// reset.
    AwaitUnread,
    /// Waits until the client has closed its side, reading and throwing away what comes.
    AwaitClose,
    /// Closes its own side alone: a FIN is sent, and reading goes on.
    HalfClose,
    /// Closes the socket: a FIN, or a reset if bytes of the client lie unread in the kernel.
    Close,
    /// Resets the connection.
    Reset,
}

/// A time, typed as `200ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime(pub Duration);

impl fmt::Display for StepTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for StepTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_and_written_as_a_list_of_steps() {
        let text = r#"
            steps = ["read_head", { read_body = 11 }, "read_request", { serve = "" }, { answer = "HTTP/1.1 204 x\r\n\r\n" },
                { fill = 65536 }, { wait = "1s 500ms" }, "await_unread", "await_close", "half_close", "close", "reset"]
        "#;
        let script: ConnectionScript = toml::from_str(text).unwrap();
        assert_eq!(script.steps[6], ServerStep::Wait(StepTime(Duration::from_millis(1500))));
        let again = toml::to_string(&script).unwrap();
        assert_eq!(toml::from_str::<ConnectionScript>(&again).unwrap(), script);
    }

    #[test]
    fn a_step_that_there_is_not_is_refused_with_those_that_there_are() {
        let refusal = toml::from_str::<ConnectionScript>("steps = ['explode']").unwrap_err();
        assert!(refusal.message().contains("expected one of `read_head`"), "{refusal}");
        assert!(toml::from_str::<ConnectionScript>("steps = [{ wait = '5' }]").is_err());
    }
}
