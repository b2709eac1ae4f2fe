//! Where things lie in a network's folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, IoContext, Result};

use super::disk;

/// The longest path that a unix socket takes on Linux.
const SOCKET_PATH_MAX: usize = 107;
/// How long a process tries to begin its life.
const PATIENCE: Duration = Duration::from_secs(2);

/// The folder of a network.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`.
    pub fn new(root: &Path) -> Layout {
        Layout { root: root.to_owned() }
    }

    /// The network's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the network is made of.
    pub fn network(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// The chain's folder.
    pub fn chain(&self) -> PathBuf {
        self.root.join("chain")
    }

    /// The chain's socket.
    pub fn chain_socket(&self) -> PathBuf {
        self.chain().join("socket")
    }

    /// A node's folder.
    pub fn node(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A node's Core Lightning socket.
    pub fn rpc_socket(&self, name: &str) -> PathBuf {
        self.node(name).join("lightning-rpc")
    }

    /// The file with the loopback port that a node listens on.
    pub fn port(&self, name: &str) -> PathBuf {
        self.node(name).join("port")
    }

    /// Refuses a folder whose sockets could not be named.
    pub fn check_socket_length(&self, names: &[String]) -> Result<()> {
        let sockets = names.iter().map(|name| self.rpc_socket(name)).chain([self.chain_socket()]);
        let longest = sockets.max_by_key(|path| path.as_os_str().len()).expect("the chain's socket is there");
        let length = longest.as_os_str().len();
        if length <= SOCKET_PATH_MAX {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{}: expected at most {SOCKET_PATH_MAX} bytes in a socket's path, found {length}",
            longest.display()
        ))
        .hint("choose a folder with a shorter path, in /tmp for example"))
    }
}

/// Held as long as a process of the network lives; released by its death, whatever its kind.
#[derive(Debug)]
pub struct Life {
    _lock: File,
}

impl Life {
    /// Takes the life of the process in `folder`, and leaves the process id in `pid`, for people and tests; nothing when
    /// another process has it.
    pub fn begin(folder: &Path) -> Result<Option<Life>> {
        let (path, file) = Life::file(folder)?;
        let begun = Instant::now();
        // Whoever looks whether the process lives holds the lock for a moment.
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
                TryLockError::WouldBlock => return Ok(None),
                TryLockError::Error(error) => return Err(Error::io(path.display(), &error)),
            }
        }
        disk::replace(&folder.join("pid"), format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Some(Life { _lock: file }))
    }

    /// Whether a process lives in `folder`.
    pub fn is_there(folder: &Path) -> Result<bool> {
        if !folder.is_dir() {
            return Ok(false);
        }
        let (path, file) = Life::file(folder)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(Error::io(path.display(), &error)),
        }
    }

    fn file(folder: &Path) -> Result<(PathBuf, File)> {
        let path = folder.join("lock");
        let file = File::options().create(true).append(true).open(&path).path(&path)?;
        Ok((path, file))
    }
}

/// Whether the folder still belongs to this process: a test's folder may go while its processes run.
pub fn still_mine(folder: &Path) -> bool {
    let own = std::process::id().to_string();
    std::fs::read_to_string(folder.join("pid")).is_ok_and(|text| text.trim() == own)
}
