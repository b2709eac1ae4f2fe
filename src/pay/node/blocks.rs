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
        header_of(&block, &hash).at(format!("{}: getrawblockbyheight {height}", self.name())).map(Some)
    }
}

/// The header that a block in hex begins with, which must have this hash.
fn header_of(block: &str, hash: &str) -> Result<BlockHeader> {
    let header: BlockHeader = block.get(..DIGITS).unwrap_or(block).parse()?;
    let found = header.hash().to_string();
    match found == hash {
        true => Ok(header),
        false => Err(Error::data(format!("expected the block {hash}, found another, {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_one_that_the_node_says_it_is() {
        // The first block of regtest.
        let header = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3\
                      888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000";
        let hash = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
        assert_eq!(header_of(&format!("{header}01"), hash).unwrap().hash().to_string(), hash);
        let error = header_of(header, "00").unwrap_err();
        assert_eq!(error.to_string(), format!("expected the block 00, found another, {hash}"));
        assert!(header_of("zz", hash).unwrap_err().to_string().starts_with("expected the header of a block"));
    }
}
