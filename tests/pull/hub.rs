//! A hub on this machine: lists and files over plain HTTP, and whatever a test makes it say.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lightning::bitcoin::hashes::{Hash, sha1, sha256};
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET or HEAD.
    pub method: String,
    /// The path, with what stands after a question mark.
    pub path: String,
    /// The first byte that is asked for.
    pub from: Option<usize>,
    /// The token, if one was shown.
    pub token: Option<String>,
}

/// What is sent.
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection ends.
    cut: Option<usize>,
    /// How long the connection stays open after that.
    stall: Duration,
}

impl Reply {
    /// A status, and nothing else.
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), cut: None, stall: Duration::ZERO }
    }

    /// A body.
    pub fn body(bytes: &[u8]) -> Reply {
        Reply { body: bytes.to_vec(), ..Reply::status(200) }
    }

    /// Sends one on.
    pub fn redirect(location: &str) -> Reply {
        Reply::status(302).header("Location", location)
    }

    /// What is asked for of these bytes.
    pub fn part(request: &Request, bytes: &[u8]) -> Reply {
        match request.from {
            None => Reply::body(bytes),
            Some(from) if from >= bytes.len() => {
                Reply::status(416).header("Content-Range", &format!("bytes */{}", bytes.len()))
            }
            Some(from) => Reply { status: 206, ..Reply::body(&bytes[from..]) }
                .header("Content-Range", &format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
        }
    }

    /// Says something more, or something else.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends so many bytes of the body only.
    pub fn cut(self, after: usize) -> Reply {
        Reply { cut: Some(after), ..self }
    }

    /// Sends another byte in this place of the body.
    pub fn flip(mut self, at: usize) -> Reply {
        self.body[at] ^= 1;
        self
    }

    /// Sends the body, and more, in chunks, without saying how long it is.
    pub fn unframed(mut self, more: &[u8]) -> Reply {
        self.body.extend_from_slice(more);
        let chunks = self
            .body
            .chunks(65_536)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        self.body = chunks.chain([b"0\r\n\r\n".to_vec()]).collect::<Vec<_>>().concat();
        self.header("Transfer-Encoding", "chunked")
    }

    /// And leaves the connection open.
    pub fn stall(self, time: Duration) -> Reply {
        Reply { stall: time, ..self }
    }

    fn send(&self, mut stream: TcpStream, method: &str) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", self.status);
        let says = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !says("Content-Length") && !says("Transfer-Encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        self.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())])?;
        }
        stream.flush()?;
        thread::sleep(self.stall);
        Ok(())
    }
}

/// What answers: a request, and how many there were before of this path.
type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A server; gone when nobody has it any more.
#[derive(Clone)]
pub struct Hub(Arc<Serving>);

struct Serving {
    address: SocketAddr,
    requests: Mutex<Vec<Request>>,
    handler: Box<Handler>,
}

impl Hub {
    /// Starts one.
    pub fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::new(Serving { address, requests: Mutex::default(), handler: Box::new(handler) });
        let known = Arc::downgrade(&serving);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(serving) = known.upgrade() else { return };
                thread::spawn(move || serving.answer(stream));
            }
        });
        Hub(serving)
    }

    /// Where it is, by its number.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.address.port())
    }

    /// Where it is, by another name: another host for whoever compares names.
    pub fn url_by_name(&self) -> String {
        format!("http://localhost:{}", self.0.address.port())
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap().clone()
    }

    /// What was asked of paths that end so.
    pub fn asked(&self, end: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path.ends_with(end)).collect()
    }
}

impl Serving {
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let request = read(&stream)?;
        let before = {
            let mut requests = self.requests.lock().unwrap();
            let before = requests.iter().filter(|r| r.path == request.path).count();
            requests.push(request.clone());
            before
        };
        (self.handler)(&request, before).send(stream, &request.method).ok()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Whoever waits for a connection wakes up, and sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, from: None, token: None };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "authorization" => request.token = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}

/// A repository at a commit.
#[derive(Clone)]
pub struct Repo {
    /// `models` or `datasets`.
    pub kind: &'static str,
    /// OWNER/NAME.
    pub name: &'static str,
    /// Where its branch stands.
    pub commit: String,
    /// Names, contents, and whether they are large files.
    pub files: Vec<(String, Vec<u8>, bool)>,
}

/// A commit for a purpose.
pub fn commit(purpose: &str) -> String {
    hex::encode(sha1::Hash::hash(purpose.as_bytes()).to_byte_array())
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha256::Hash::hash(bytes).to_byte_array())
}

/// What Git calls some bytes.
pub fn git(bytes: &[u8]) -> String {
    let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    hex::encode(sha1::Hash::hash(&blob).to_byte_array())
}

/// Bytes without a pattern.
pub fn noise(purpose: &str, len: usize) -> Vec<u8> {
    let block = |i: usize| sha256::Hash::hash(format!("{purpose} {i}").as_bytes()).to_byte_array();
    (0..len.div_ceil(32)).flat_map(block).take(len).collect()
}

impl Repo {
    /// A model of one large file and some small ones, with a pickle beside.
    pub fn model() -> Repo {
        let small = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec(), false);
        Repo {
            kind: "models",
            name: "org/tiny",
            commit: commit("first"),
            files: vec![
                small(".gitattributes", "*.safetensors filter=lfs\n"),
                small("README.md", "# tiny\n"),
                small("config.json", "{\"model_type\":\"llama\"}\n"),
                ("model.safetensors".to_owned(), noise("weights", 1_000_000), true),
                ("pytorch_model.bin".to_owned(), noise("pickle", 1000), true),
                small("tokenizer.json", "{\"version\":\"1.0\"}\n"),
            ],
        }
    }

    /// One with these files, all small.
    pub fn of(kind: &'static str, files: &[(&str, &str)]) -> Repo {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec(), false));
        Repo { kind, files: files.collect(), ..Repo::model() }
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.files.iter().find(|file| file.0 == name).unwrap().1.clone()
    }

    /// The name of a file's blob.
    pub fn oid(&self, name: &str) -> String {
        let (_, bytes, large) = self.files.iter().find(|file| file.0 == name).unwrap();
        if *large { sha256(bytes) } else { git(bytes) }
    }

    /// The list as the hub gives it, with digests or without.
    pub fn list(&self, digests: bool) -> Value {
        let sibling = |(name, bytes, large): &(String, Vec<u8>, bool)| match (digests, large) {
            (false, _) => json!({"rfilename": name}),
            (true, false) => json!({"rfilename": name, "size": bytes.len(), "blobId": git(bytes)}),
            (true, true) => json!({
                "rfilename": name, "size": bytes.len(), "blobId": git(b"a pointer"),
                "lfs": {"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134},
            }),
        };
        let siblings: Vec<Value> = self.files.iter().map(sibling).collect();
        json!({"id": self.name, "sha": self.commit, "private": false, "tags": [], "siblings": siblings})
    }

    /// What a hub answers that has this repository: its list at `main` and at its commit, its files at its commit.
    pub fn answer(&self, request: &Request) -> Reply {
        for revision in ["main", &self.commit] {
            if request.path == format!("/api/{}/{}/revision/{revision}?blobs=true", self.kind, self.name) {
                return Reply::body(self.list(true).to_string().as_bytes());
            }
        }
        let prefix = if self.kind == "models" { String::new() } else { format!("/{}", self.kind) };
        for (name, bytes, large) in &self.files {
            if request.path == format!("{prefix}/{}/resolve/{}/{name}", self.name, self.commit) {
                let tag = format!("\"{}\"", if *large { sha256(bytes) } else { git(bytes) });
                return Reply::part(request, bytes).header("ETag", &tag).header("X-Repo-Commit", &self.commit);
            }
        }
        Reply::status(404).header("X-Error-Code", "EntryNotFound")
    }

    /// A hub that has it.
    pub fn serve(self) -> Hub {
        Hub::start(move |request, _| self.answer(request))
    }

    /// One that says something else of a file whose name ends so, in its first answers.
    pub fn serve_but(
        self,
        end: &'static str,
        times: usize,
        other: impl Fn(Reply, &Request) -> Reply + Send + Sync + 'static,
    ) -> Hub {
        Hub::start(move |request, before| {
            let reply = self.answer(request);
            if request.path.ends_with(end) && before < times { other(reply, request) } else { reply }
        })
    }
}
