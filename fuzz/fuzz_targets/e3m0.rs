//! The decoder of `e3m0`.
#![no_main]

#[path = "../harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::payload(l402::artifact::recipe::CodecName::E3m0, data));
