//! What an inner step is made of: operators, and the values between them.

use std::fmt;

/// A value of the graph, by its number.
pub type ValueId = u32;

/// What an operator computes; what it reads and writes is in the table of `docs/dispute.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are those of the engine's operators.
pub enum Kind {
    Parameter,
    FirstMoment,
    SecondMoment,
    Frozen,
    Tokens,
    Embedding,
    EmbeddingScale,
    RmsNorm,
    Project,
    Bias,
    LowRank,
    LowRankAdd,
    Split,
    Rope,
    Attention,
    Add,
    Swiglu,
    Geglu,
    ResidualScale,
    LogitsScale,
    CrossEntropy,
    LossSum,
    InputGradient,
    WeightGradient,
    BiasBackward,
    LowRankBackward,
    Join,
    RmsNormBackward,
    SwigluBackward,
    GegluBackward,
    AttentionBackward,
    RopeBackward,
    EmbeddingBackward,
    GradientSum,
    SumSquares,
    Clip,
    Adamw,
    State,
}

impl Kind {
    /// The name that traces and transcripts use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Parameter => "parameter",
            Kind::FirstMoment => "first_moment",
            Kind::SecondMoment => "second_moment",
            Kind::Frozen => "frozen",
            Kind::Tokens => "tokens",
            Kind::Embedding => "embedding",
            Kind::EmbeddingScale => "embedding_scale",
            Kind::RmsNorm => "rms_norm",
            Kind::Project => "project",
            Kind::Bias => "bias",
            Kind::LowRank => "low_rank",
            Kind::LowRankAdd => "low_rank_add",
            Kind::Split => "split",
            Kind::Rope => "rope",
            Kind::Attention => "attention",
            Kind::Add => "add",
            Kind::Swiglu => "swiglu",
            Kind::Geglu => "geglu",
            Kind::ResidualScale => "residual_scale",
            Kind::LogitsScale => "logits_scale",
            Kind::CrossEntropy => "cross_entropy",
            Kind::LossSum => "loss_sum",
            Kind::InputGradient => "input_gradient",
            Kind::WeightGradient => "weight_gradient",
            Kind::BiasBackward => "bias_backward",
            Kind::LowRankBackward => "low_rank_backward",
            Kind::Join => "join",
            Kind::RmsNormBackward => "rms_norm_backward",
            Kind::SwigluBackward => "swiglu_backward",
            Kind::GegluBackward => "geglu_backward",
            Kind::AttentionBackward => "attention_backward",
            Kind::RopeBackward => "rope_backward",
            Kind::EmbeddingBackward => "embedding_backward",
            Kind::GradientSum => "gradient_sum",
            Kind::SumSquares => "sum_squares",
            Kind::Clip => "clip",
            Kind::Adamw => "adamw",
            Kind::State => "state",
        }
    }

    /// Whether it is a tensor of the state that the step begins with.
    pub fn is_state_source(self) -> bool {
        matches!(self, Kind::Parameter | Kind::FirstMoment | Kind::SecondMoment)
    }

    /// Whether it reads nothing: its output is agreed before the step.
    pub fn is_source(self) -> bool {
        self.is_state_source() || matches!(self, Kind::Frozen | Kind::Tokens)
    }

    /// Whether it works on its inputs' digests, and needs no values.
    pub fn works_on_digests(self) -> bool {
        self == Kind::State
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One operator of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What it computes.
    pub kind: Kind,
    /// The tensor that it is about, by its number among all of the network's (see [`crate::model::Net::number`]).
    pub tensor: Option<u32>,
    /// The layer that it belongs to.
    pub layer: Option<u32>,
    /// The sequence that it works on, by its place in the batch.
    pub sequence: Option<u32>,
    /// The rows (tokens of the sequence) of its input that it works on, where these are not all: first, and beyond the
    /// last.
    pub rows: Option<(u32, u32)>,
    /// What it reads, in the order of its arguments. `None` is an accumulator that starts from +0.
    pub reads: Vec<Option<ValueId>>,
    /// The first value that it writes; the others follow.
    pub first: ValueId,
    /// How many it writes.
    pub writes: u32,
}

impl Operator {
    /// The values that it writes.
    pub fn written(&self) -> std::ops::Range<ValueId> {
        self.first..self.first + self.writes
    }

    /// The values that it reads, without accumulators that start from +0.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.reads.iter().flatten().copied()
    }

    /// What it is called in messages: kind, layer, sequence, rows.
    pub fn describe(&self) -> String {
        let part = |name: &str, number: Option<u32>| number.map_or(String::new(), |n| format!(", {name} {n}"));
        let rows = self.rows.map_or(String::new(), |(from, to)| format!(", rows {from} to {}", to - 1));
        format!("{}{}{}{rows}", self.kind, part("layer", self.layer), part("sequence", self.sequence))
    }
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// float32 of this shape, row-major. Its digest is [`crate::artifact::tensor_root`].
    Floats(Vec<usize>),
    /// So many token ids. Its digest is a Merkle leaf over them, little-endian, 4 bytes each.
    Tokens(usize),
    /// So many targets, [`crate::engine::NO_TARGET`] where a token has none. Digested like token ids.
    Targets(usize),
    /// So many marks, 1 where a document begins and else 0. Digested like token ids.
    Starts(usize),
    /// A sum of losses in nats, 32.32 fixed point. Its digest is a Merkle leaf over 16 bytes, little-endian.
    Sum,
    /// A root over tensors: its own digest.
    Root,
}

impl Form {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        match self {
            Form::Floats(shape) => shape.iter().product(),
            Form::Tokens(count) | Form::Targets(count) | Form::Starts(count) => *count,
            Form::Sum | Form::Root => 1,
        }
    }
}

/// A value between operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueInfo {
    /// The operator that writes it.
    pub producer: u32,
    /// Which of that operator's outputs it is.
    pub output: u32,
    /// What it is.
    pub form: Form,
}
