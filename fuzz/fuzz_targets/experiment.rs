//! Experiment files that nobody would write.
#![no_main]

libfuzzer_sys::fuzz_target!(|source: &str| lab::fuzzing::experiment(source));
