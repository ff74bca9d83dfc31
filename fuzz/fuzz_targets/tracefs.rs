//! Pages and formats as no kernel writes them: the first line is a format, the rest a page.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| socket_inspector::fuzzing::tracefs(input));
