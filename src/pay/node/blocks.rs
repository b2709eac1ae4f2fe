//! Headers of blocks, as the node's own chain has them.

use cln_rpc::model::TypedRequest;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::artifact::beacon::BlockHeader;
use crate::error::{Context, Error, Result};

/// Hex digits of a header, which a block begins with.
const DIGITS: usize = 160;

/// `getrawblockbyheight`, which lightningd asks of its own chain backend.
#[derive(Clone, Debug, Serialize)]
struct RawBlock {
    height: u32,
}

impl TypedRequest for RawBlock {
    type Response = serde_json::Value;

    fn method(&self) -> &str {
        "getrawblockbyheight"
    }
}

impl Node {
    /// The header of the block at a height, if the chain is so long.
    pub fn block_header(&mut self, height: u32) -> Result<Option<BlockHeader>> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            blockhash: Option<String>,
            block: Option<String>,
        }
        let answer: Answer = self.ask(&RawBlock { height })?;
        let (Some(hash), Some(block)) = (answer.blockhash, answer.block) else { return Ok(None) };
        let place = || format!("{}: getrawblockbyheight {height}", self.name());
        let header: BlockHeader = block.get(..DIGITS).unwrap_or(&block).parse().at(place())?;
        match header.hash().to_string() == hash {
            true => Ok(Some(header)),
            false => Err(Error::data(format!("{}: expected the block {hash}, found {}", place(), header.hash()))),
        }
    }
}
