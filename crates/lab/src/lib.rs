//! Declarative experiments, and traces of single requests.
//!
//! An experiment is a question, a setup and a prediction in one file; run on this
//! machine's kernel, each run in a process and a private network of its own; judged.
//!
//! | idea | file |
//! |---|---|
//! | the settings a file may have, and how one is laid over the other | `settings.rs` |
//! | an experiment: its runs, and what is predicted of each | `experiment.rs` |
//! | its file, checked before anything runs | `experiment/file.rs` |
//! | formulas: arithmetic over names | `formula.rs` |
//! | the experiments that come with the lab | `catalogue.rs` |
//! | from settings to the apparatus | `setup.rs` |
//! | one run, in the child process | `trial.rs` |
//! | what a run has shown, as numbers with names | `observe.rs` |
//! | all runs, side by side, from the parent process | `run.rs` |
//! | predictions against observations | `judge.rs` |
//! | the learner's own predictions | `ask.rs` |
//! | a session: what is run, asked and written in which order | `session.rs` |
//! | results as text, JSON and JUnit XML | `render/` |
//! | every moment of fetching a URL | `trace.rs`, `trace/` |

pub mod ask;
pub mod catalogue;
pub mod cli;
pub mod experiment;
pub mod formula;
pub mod judge;
pub mod observe;
pub mod process;
pub mod raw;
pub mod render;
pub mod run;
pub mod session;
pub mod settings;
pub mod setup;
pub mod trace;
pub mod trial;
