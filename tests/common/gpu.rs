//! The driver that runs kernels on the processor (`kernels/shim`), for the binary to load as it loads NVIDIA's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the driver, built once.
pub fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim");
        let built =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/shim/build.sh")).arg(&out).output();
        let built = built.expect("bash runs");
        assert!(
            built.status.success(),
            "the driver wants g++ (Debian: g++)\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        out
    })
}
