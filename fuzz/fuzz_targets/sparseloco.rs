//! The decoder of `sparseloco`.
#![no_main]

#[path = "../harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::payload(l402::artifact::recipe::CodecName::SparseLoco, data));
