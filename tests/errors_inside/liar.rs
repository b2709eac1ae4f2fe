//! A socket in front of a node's that gives other answers to some calls.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// The node is asked, and its answer is changed.
    Change(fn(&mut Value)),
    /// The node never hears of it, and this is the answer.
    Instead(fn() -> Value),
    /// The node never hears of it, and this code is the answer.
    Refuse(i32),
    /// The connection ends.
    HangUp,
    /// The node is asked, and after it nobody can connect any more.
    Vanish,
}

/// The socket; gone when dropped.
pub struct Liar {
    folder: tempfile::TempDir,
    over: Arc<AtomicBool>,
}

impl Liar {
    /// Before this node's socket, with lies about these methods.
    pub fn new(node: &Path, lies: &'static [(&'static str, Lie)]) -> Liar {
        let folder = tempfile::Builder::new().prefix("l402p").tempdir_in("/tmp").unwrap();
        let place = folder.path().join("rpc");
        let listener = UnixListener::bind(&place).unwrap();
        let (node, over) = (node.to_owned(), Arc::new(AtomicBool::new(false)));
        let ending = Arc::clone(&over);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                let (node, place) = (node.clone(), place.clone());
                std::thread::spawn(move || drop(serve(&node, &place, lies, client)));
            }
        });
        Liar { folder, over }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("rpc")
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = UnixStream::connect(self.path());
    }
}

fn serve(node: &Path, place: &Path, lies: &[(&str, Lie)], mut client: UnixStream) -> std::io::Result<()> {
    let mut node = UnixStream::connect(node)?;
    while let Some(request) = next(&mut client)? {
        let method = request["method"].as_str().unwrap_or_default();
        let lie = lies.iter().find(|(of, _)| *of == method).map(|(_, lie)| *lie);
        let told = |field: &str, value: Value| json!({ "jsonrpc": "2.0", "id": request["id"], field: value });
        let answer = match lie {
            Some(Lie::HangUp) => return Ok(()),
            Some(Lie::Refuse(code)) => told("error", json!({ "code": code, "message": "says the test\u{1b}[2J" })),
            Some(Lie::Instead(answer)) => told("result", answer()),
            _ => {
                node.write_all(request.to_string().as_bytes())?;
                let mut answer = next(&mut node)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                match lie {
                    Some(Lie::Change(change)) => change(&mut answer["result"]),
                    Some(Lie::Vanish) => drop(std::fs::remove_file(place)),
                    _ => {}
                }
                answer
            }
        };
        client.write_all(format!("{answer}\n\n").as_bytes())?;
    }
    Ok(())
}

/// The next whole value of a stream on which each side waits for the other.
fn next(stream: &mut UnixStream) -> std::io::Result<Option<Value>> {
    let (mut buffer, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..read]);
        if let Ok(value) = serde_json::from_slice(&buffer) {
            return Ok(Some(value));
        }
    }
}
