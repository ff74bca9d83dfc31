//! Datagrams as no kernel sends them.
#![no_main]

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| socket_table::fuzzing::datagram(datagram));
