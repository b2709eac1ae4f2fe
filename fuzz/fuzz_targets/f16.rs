//! The decoder of `f16`.
#![no_main]

#[path = "../harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::payload(l402::artifact::recipe::CodecName::F16, data));
