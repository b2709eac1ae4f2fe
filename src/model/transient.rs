//! What a device's operators take of its memory for a while, beside a plan's own buffers: the digits of integer products, the
//! scratch of attention and of sums.

use super::config::ModelConfig;
use crate::device::Pace;
use crate::engine::Arithmetic;
use crate::engine::integer::Resident;
use crate::engine::linear::TOKENS;

/// Bytes of a float.
const FLOAT: u64 = 4;

/// Which weights' integers are kept from one product to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None.
    Nothing,
    /// The head's.
    Head,
    /// All.
    All,
}

/// What it depends on of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub sequences: usize,
    pub seq_len: usize,
    pub backward: bool,
    pub logit_rows: usize,
    /// The rank of an adapter, 0 without one.
    pub rank: usize,
    pub kept: Kept,
}

impl Pass {
    fn tokens(&self) -> usize {
        self.sequences * self.seq_len
    }
}

/// Which of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transient {
    /// Nothing: the host's is beside what plans count.
    Uncounted,
    /// What is made of floats.
    Floats,
    /// The digits of integer products too.
    Digits,
}

/// A linear layer: outputs, inputs, and whether its input's digits are kept for the products that come after.
struct Matrix {
    out: usize,
    inner: usize,
    shares_input: bool,
}

impl Matrix {
    /// Digits of its rows, and of its columns.
    fn forms(&self) -> [u64; 2] {
        [Resident::bytes(self.out, 1, self.inner), Resident::bytes(self.inner, 1, self.out)]
    }
}

/// The linear layers of one layer, by their shapes.
fn matrices(config: &ModelConfig) -> Vec<Matrix> {
    let (d, ff) = (config.hidden_size, config.intermediate_size);
    let (qw, kvw) = (config.query_width(), config.key_width());
    let entering: &[usize] = if config.variant.fused { &[qw + 2 * kvw, 2 * ff] } else { &[qw, kvw, kvw, ff, ff] };
    let entering = entering.iter().map(|&out| Matrix { out, inner: d, shares_input: true });
    let leaving = [qw, ff].map(|inner| Matrix { out: d, inner, shares_input: false });
    entering.chain(leaving).collect()
}

fn head(config: &ModelConfig) -> Matrix {
    Matrix { out: config.vocab_size, inner: config.hidden_size, shares_input: true }
}

impl Transient {
    /// On a device of this pace.
    pub fn of(pace: Pace, arithmetic: Arithmetic) -> Transient {
        match (pace.own_memory, arithmetic) {
            (false, _) => Transient::Uncounted,
            (true, Arithmetic::Float) => Transient::Floats,
            (true, Arithmetic::Integer) => Transient::Digits,
        }
    }

    /// Bytes that a pass takes at most at a time.
    pub fn bytes(self, pass: &Pass, config: &ModelConfig) -> u64 {
        if self == Transient::Uncounted {
            return 0;
        }
        let tables = if config.variant.local_rope_theta.is_some() { 2 } else { 1 };
        let rope = FLOAT * (tables * pass.seq_len * config.head_dim) as u64;
        let floats = attention(pass, config).max(adapters(pass)).max(state(config));
        match self {
            Transient::Digits => {
                let products = matrices(config).iter().map(|matrix| product(pass, matrix)).max();
                let products = products.unwrap_or(0).max(head_product(pass, &head(config)));
                rope + input(pass, config) + floats.max(products)
            }
            _ => rope + floats,
        }
    }

    /// Bytes of the integers that are kept of weights: for the forward product, and for the input gradient except the head's.
    pub fn weight_bytes(self, pass: &Pass, config: &ModelConfig) -> u64 {
        let forms = |matrix: &Matrix| match self {
            // Integers of 16 bits.
            Transient::Uncounted => [2 * (matrix.out * matrix.inner) as u64; 2],
            _ => matrix.forms(),
        };
        let of_layer = |matrix: &Matrix| forms(matrix).into_iter().take(if pass.backward { 2 } else { 1 }).sum::<u64>();
        let layers = config.num_hidden_layers as u64 * matrices(config).iter().map(of_layer).sum::<u64>();
        let [head, _] = forms(&head(config));
        match pass.kept {
            Kept::Nothing => 0,
            Kept::Head => head,
            Kept::All => layers + head,
        }
    }
}

/// Blocks of so many of a pass's tokens, at most.
fn blocks(pass: &Pass, tokens: usize) -> usize {
    let all = pass.sequences * pass.seq_len.div_ceil(TOKENS);
    all.min(tokens / TOKENS + tokens / pass.seq_len + 1)
}

/// Digits of this many columns of so many tokens, block by block.
fn by_blocks(pass: &Pass, columns: usize, tokens: usize) -> u64 {
    Resident::bytes(columns, blocks(pass, tokens), TOKENS.min(pass.seq_len))
}

/// Digits of an input that several products take.
fn input(pass: &Pass, config: &ModelConfig) -> u64 {
    let d = config.hidden_size;
    let back = if pass.backward { by_blocks(pass, d, pass.tokens()) } else { 0 };
    Resident::bytes(pass.tokens(), 1, d) + back
}

/// Digits that the largest product of a linear layer takes, beside those of an input that several take.
fn product(pass: &Pass, matrix: &Matrix) -> u64 {
    let Matrix { out, inner, shares_input } = *matrix;
    let (tokens, [rows, columns]) = (pass.tokens(), matrix.forms());
    let once = |bytes: u64| if shares_input { 0 } else { bytes };
    let weight = |bytes: u64| if pass.kept == Kept::All { 0 } else { bytes };
    let forward = once(Resident::bytes(tokens, 1, inner)) + weight(rows);
    if !pass.backward {
        return forward;
    }
    let back = Resident::bytes(tokens, 1, out) + weight(columns) + Resident::pieces_bytes(out, inner);
    let gradient = once(by_blocks(pass, inner, tokens)) + by_blocks(pass, out, tokens);
    forward.max(back).max(gradient)
}

/// The same of the head, whose input gradient is of floats.
fn head_product(pass: &Pass, head: &Matrix) -> u64 {
    let [rows, _] = head.forms();
    let forward = if pass.kept == Kept::Nothing { rows } else { 0 };
    let gradient = if pass.backward { by_blocks(pass, head.out, pass.logit_rows) } else { 0 };
    forward.max(gradient)
}

/// Scratch of attention's gradients, and of sums over sequences.
fn attention(pass: &Pass, config: &ModelConfig) -> u64 {
    if !pass.backward {
        return 0;
    }
    let (qw, kvw) = (config.query_width(), config.key_width());
    let copies = if qw == kvw { 1 } else { 3 };
    let token = copies * qw + config.num_attention_heads;
    let widest = config.hidden_size.max(qw + 2 * kvw).max(2 * config.intermediate_size);
    FLOAT * (pass.tokens() * token).max(pass.sequences * widest) as u64
}

/// What passes through an adapter, and its gradient.
fn adapters(pass: &Pass) -> u64 {
    2 * FLOAT * (pass.tokens() * pass.rank) as u64
}

/// Digests and sums of the state: 32 bytes a leaf, of which the narrowest tensors have one for 512 elements, and tables of tensors.
fn state(config: &ModelConfig) -> u64 {
    let tensors = 16 * (config.num_hidden_layers + 1) as u64;
    config.matrix_parameters().unwrap_or(0) as u64 / 16 + 256 * tensors
}
