//! A socket in front of a node's, where a test counts the calls and makes something go wrong at one of them.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// When it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call does not reach the node.
    Before,
    /// The call was answered, and the answer is lost.
    After,
}

/// What goes wrong, and at which call.
pub struct Fault {
    /// The call, from 0, among those that count.
    pub at: usize,
    /// Before or after it.
    pub when: When,
    /// Whether only calls that change something count.
    pub changes_only: bool,
    /// Ends of the names of methods that the node is made not to know.
    pub unknown: &'static [&'static str],
    /// Calls of a method that the node never hears of: the method, the code that answers them, and how many.
    pub refused: Option<(&'static str, i32, usize)>,
    /// What happens then.
    pub action: Box<dyn Fn() + Send + Sync>,
}

struct Shared {
    node: PathBuf,
    fault: Fault,
    calls: AtomicUsize,
    refusals: AtomicUsize,
    happened: AtomicBool,
    done: AtomicBool,
    method: Mutex<String>,
    over: AtomicBool,
}

/// The socket; gone when dropped.
pub struct Proxy {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

impl Fault {
    /// Nothing goes wrong but that the node does not know these methods.
    pub fn unknown(methods: &'static [&'static str]) -> Fault {
        Fault {
            at: usize::MAX,
            when: When::Before,
            changes_only: false,
            unknown: methods,
            refused: None,
            action: Box::new(|| {}),
        }
    }

    /// The first `count` calls of a method are answered with this code, and the node never hears of them.
    pub fn refused(method: &'static str, code: i32, count: usize) -> Fault {
        Fault { refused: Some((method, code, count)), ..Fault::unknown(&[]) }
    }
}

/// Kills -9 of a verb whose number is known a moment after it asks.
pub fn kill(victim: Arc<Mutex<Option<u32>>>) -> Box<dyn Fn() + Send + Sync> {
    Box::new(move || {
        for _ in 0..1000 {
            if let Some(pid) = *victim.lock().unwrap() {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

/// Calls that change something at a node.
const CHANGES: [&str; 5] = ["datastore", "injectholdinvoice", "xpay", "settleholdinvoice", "cancelholdinvoice"];

impl Proxy {
    /// A proxy before this node's socket.
    pub fn new(node: PathBuf, fault: Fault) -> Proxy {
        let folder = tempfile::Builder::new().prefix("l402p").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join("rpc")).unwrap();
        let shared = Arc::new(Shared {
            node,
            fault,
            calls: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            happened: AtomicBool::new(false),
            done: AtomicBool::new(false),
            method: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.over.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || {
                    let _ = serve(&shared, client);
                });
            }
        });
        Proxy { folder, shared }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("rpc")
    }

    /// The method of the call at which it went wrong, if it did.
    pub fn happened(&self) -> Option<String> {
        let happened = self.shared.happened.load(Ordering::Acquire);
        // Who dies of it may be gone before all of it has happened.
        while happened && !self.shared.done.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        happened.then(|| self.shared.method.lock().unwrap().clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let _ = UnixStream::connect(self.path());
    }
}

fn serve(shared: &Shared, mut client: UnixStream) -> std::io::Result<()> {
    let mut node = None;
    let mut buffer = Vec::new();
    loop {
        let request = match next(&mut buffer, &mut client)? {
            Some(request) => request,
            None => return Ok(()),
        };
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        let counts = !shared.fault.changes_only || CHANGES.contains(&method.as_str());
        if shared.fault.unknown.iter().any(|unknown| method.ends_with(unknown)) {
            let error = json!({"code": -32601, "message": format!("Unknown command '{method}'")});
            let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
            client.write_all(format!("{answer}\n\n").as_bytes())?;
            continue;
        }
        if let Some((refused, code, count)) = shared.fault.refused
            && refused == method
            && shared.refusals.fetch_add(1, Ordering::AcqRel) < count
        {
            let error = json!({"code": code, "message": "refused, says the test"});
            let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
            client.write_all(format!("{answer}\n\n").as_bytes())?;
            continue;
        }
        let faulty = counts && shared.calls.fetch_add(1, Ordering::AcqRel) == shared.fault.at;
        if faulty {
            shared.method.lock().unwrap().clone_from(&method);
        }
        if faulty && shared.fault.when == When::Before {
            happen(shared);
            return Ok(());
        }
        if node.is_none() {
            node = Some(UnixStream::connect(&shared.node)?);
        }
        let stream = node.as_mut().expect("just connected");
        stream.write_all(request.to_string().as_bytes())?;
        if faulty {
            // A payment is answered when it ends, which is much later.
            stream.set_read_timeout(Some(Duration::from_millis(if method == "xpay" { 60 } else { 10_000 })))?;
            let _ = read_answer(stream);
            happen(shared);
            return Ok(());
        }
        let answer = read_answer(stream)?;
        client.write_all(&answer)?;
    }
}

fn happen(shared: &Shared) {
    shared.happened.store(true, Ordering::Release);
    (shared.fault.action)();
    shared.done.store(true, Ordering::Release);
}

fn next(buffer: &mut Vec<u8>, client: &mut UnixStream) -> std::io::Result<Option<Value>> {
    loop {
        let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            let used = values.byte_offset();
            buffer.drain(..used);
            return Ok(Some(value));
        }
        let mut chunk = [0; 8192];
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..read]);
    }
}

fn read_answer(node: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    while !answer.ends_with(b"\n\n") {
        let read = node.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&chunk[..read]);
    }
    Ok(answer)
}
