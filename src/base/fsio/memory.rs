//! How much memory this process has.

/// Bytes in memory now; `None` where the system does not say so as Linux does.
pub fn resident() -> Option<u64> {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn what_is_written_to_is_in_memory() {
        let before = super::resident().unwrap();
        let written = vec![1u8; 64 << 20];
        let after = super::resident().unwrap();
        assert!(after >= before + (48 << 20), "{before} -> {after}");
        assert_eq!(written[written.len() - 1], 1);
    }
}
