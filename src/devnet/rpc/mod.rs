//! Core Lightning's JSON-RPC on a unix socket: requests in, answers out, each followed by a blank line.

mod answer;
mod args;
mod channels;
mod datastore;
mod hold;
mod invoices;
mod messages;
mod methods;
mod pay;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use crate::error::{IoContext, Result};
use crate::node::Node;

use answer::RpcError;

/// The largest request.
const MAX_REQUEST: usize = 4 << 20;

/// What is read at once, at the least.
const PIECE: usize = 64 << 10;

/// Listens on the socket (mode 0600); a socket that a dead process left is replaced.
pub async fn start(node: &Arc<Node>, socket: &Path) -> Result<()> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).path(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).path(socket)?;
    let node = Arc::clone(node);
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&node), stream));
            }
        }
    });
    Ok(())
}

/// Serves one connection. Requests may follow each other without waiting; each is answered when it is done, so that a
/// payment that is held keeps nobody waiting. What was begun goes on when the caller goes away.
async fn serve(node: Arc<Node>, stream: UnixStream) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(Mutex::new(writer));
    let mut buffer = Vec::new();
    loop {
        while let Some(request) = next_request(&mut buffer) {
            let Ok(request) = request else {
                let error = RpcError::new(-32700, "expected a JSON-RPC request");
                send(&writer, &response(&Value::Null, Err(error))).await;
                return;
            };
            let (node, writer) = (Arc::clone(&node), Arc::clone(&writer));
            tokio::spawn(async move {
                let result = handle(&node, &request).await;
                send(&writer, &response(&request["id"], result)).await;
            });
        }
        if buffer.len() > MAX_REQUEST {
            let error = RpcError::new(-32600, format!("expected a request of at most {MAX_REQUEST} bytes"));
            send(&writer, &response(&Value::Null, Err(error))).await;
            // The rest is read and thrown away: closing now would take the answer from whoever still writes.
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
            return;
        }
        buffer.reserve(PIECE);
        if !matches!(reader.read_buf(&mut buffer).await, Ok(n) if n > 0) {
            return;
        }
    }
}

/// Takes the next whole request off the buffer; nothing while it is not complete.
fn next_request(buffer: &mut Vec<u8>) -> Option<std::result::Result<Value, ()>> {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<Value>();
    let (result, used) = match values.next()? {
        Ok(value) => (Ok(value), values.byte_offset()),
        Err(error) if error.is_eof() => return None,
        Err(_) => (Err(()), buffer.len()),
    };
    buffer.drain(..used);
    Some(result)
}

fn response(id: &Value, result: std::result::Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}

async fn send(writer: &Mutex<OwnedWriteHalf>, value: &Value) {
    // Whoever has gone away misses the answer.
    let _ = writer.lock().await.write_all(format!("{value}\n\n").as_bytes()).await;
}

async fn handle(node: &Arc<Node>, request: &Value) -> std::result::Result<Value, RpcError> {
    if !request.is_object() {
        return Err(RpcError::new(-32600, "expected a JSON-RPC request object"));
    }
    let Some(method) = request["method"].as_str() else {
        return Err(RpcError::new(-32600, "expected a method"));
    };
    methods::call(node, method, &request["params"]).await
}

#[cfg(test)]
mod tests {
    use super::next_request;

    #[test]
    fn requests_are_taken_one_by_one_whatever_the_pieces() {
        let mut buffer = br#"{"id":1}{"id":2}"#.to_vec();
        buffer.extend_from_slice(b"\n\n{\"id\":");
        assert_eq!(next_request(&mut buffer).unwrap().unwrap()["id"], 1);
        assert_eq!(next_request(&mut buffer).unwrap().unwrap()["id"], 2);
        assert!(next_request(&mut buffer).is_none());
        buffer.extend_from_slice(b"3}");
        assert_eq!(next_request(&mut buffer).unwrap().unwrap()["id"], 3);
        assert!(next_request(&mut buffer).is_none());
        buffer.extend_from_slice(b"}{");
        assert!(next_request(&mut buffer).unwrap().is_err());
    }
}
