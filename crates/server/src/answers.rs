//! From a request to its response: who answers, and how.
//!
//! | idea | file |
//! |---|---|
//! | who answers requests | `responder.rs` |
//! | the answerer that the server brings: `Hello world` | `hello_world.rs` |
//! | what is asked of an answer, by flag or by query | `answer.rs` |
//! | what has to be refused and hyper lets pass | `refusal.rs` |
//! | the way of one request to its response | `service.rs` |
//! | an answer that is there already, or is being made | `answering.rs` |

pub(crate) mod answer;
pub(crate) mod answering;
pub(crate) mod hello_world;
pub(crate) mod refusal;
pub(crate) mod responder;
pub(crate) mod service;

/// The whole body of an answer nobody asked anything special of.
pub(crate) const HELLO: &[u8] = b"Hello world";
