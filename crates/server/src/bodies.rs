//! The bodies of requests and responses.
//!
//! | idea | file |
//! |---|---|
//! | `Hello world`, however long | `hello_body.rs` |
//! | the body of a request, as whoever answers it reads it | `request_body.rs` |
//! | the body of a response, watched | `response_body.rs` |

pub(crate) mod hello_body;
pub(crate) mod request_body;
pub(crate) mod response_body;
