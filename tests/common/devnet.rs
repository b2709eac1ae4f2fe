//! A devnet for a test: up before it, down after it, whatever happens in between.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::escrow::{Pair, Socket};

/// A running network.
pub struct Devnet {
    // Sockets have short paths: not where the system keeps temporary files, if that is far.
    folder: tempfile::TempDir,
}

impl Devnet {
    /// So many nodes; further arguments of `devnet up`.
    pub fn up(nodes: usize, more: &str) -> Devnet {
        let devnet = Devnet { folder: tempfile::Builder::new().prefix("l402").tempdir_in("/tmp").unwrap() };
        devnet.run(&format!("up {} --nodes {nodes} {more}", devnet.dir()));
        devnet
    }

    /// Its folder.
    pub fn dir(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// `l402 devnet ARGS`, which must succeed.
    #[track_caller]
    pub fn run(&self, args: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_l402"))
            .arg("devnet")
            .args(args.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "devnet {args}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A node's folder.
    pub fn node(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("n{n}"))
    }

    /// A node's socket.
    pub fn socket(&self, n: usize) -> Socket {
        Socket(self.node(n).join("lightning-rpc"))
    }

    /// Mines blocks.
    pub fn mine(&self, blocks: u64) {
        self.run(&format!("mine {} {blocks}", self.dir()));
    }

    /// kill -9 of a node's process.
    pub fn kill(&self, n: usize) {
        let pid = fs::read_to_string(self.node(n).join("pid")).unwrap();
        let killed = Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        assert!(killed.success());
        // It is gone when nobody has its lock any more.
        for _ in 0..500 {
            if !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Brings back what does not run.
    pub fn again(&self) {
        self.run(&format!("up {}", self.dir()));
    }

    /// Two of its nodes as a payer and a payee.
    pub fn pair(&self, payer: usize, payee: usize) -> Pair {
        let (l402, dir) = (env!("CARGO_BIN_EXE_l402"), self.dir());
        let restart = |n: usize| {
            let pid = self.node(n).join("pid");
            let pid = pid.display();
            Some(format!(
                "kill -9 $(cat {pid}) && while [ -e /proc/$(cat {pid}) ]; do sleep 0.01; done; {l402} -q devnet up {dir}"
            ))
        };
        Pair {
            payer: self.socket(payer),
            payee: self.socket(payee),
            judge: None,
            mine: Some(format!("{l402} -q devnet mine {dir}")),
            restart_payer: restart(payer),
            restart_payee: restart(payee),
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = Command::new(env!("CARGO_BIN_EXE_l402")).args(["devnet", "down", &self.dir()]).output();
    }
}
