//! Errors as JSON-RPC has them.

use serde_json::{Value, json};

use crate::error::Error;

/// Wrong parameters.
pub const INVALID_PARAMS: i32 = -32602;
/// Every error of the hold plugin.
pub const PLUGIN: i32 = -32700;

/// What a method gives.
pub type Answer = Result<Value, RpcError>;

/// A code and a text.
#[derive(Debug)]
pub struct RpcError {
    code: i32,
    message: String,
}

impl RpcError {
    /// An error.
    pub fn new(code: i32, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into() }
    }

    /// Wrong parameters.
    pub fn params(message: impl Into<String>) -> RpcError {
        RpcError::new(INVALID_PARAMS, message)
    }

    /// An error of the hold plugin.
    pub fn plugin(message: impl Into<String>) -> RpcError {
        RpcError::new(PLUGIN, message)
    }

    /// As it is sent.
    pub fn to_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> RpcError {
        RpcError::new(-1, error.to_string())
    }
}
