//! The sizes of attention, and where its rows lie.

/// The sizes of attention over a batch of whole sequences: n = sequences × seq_len tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Sequences in the batch.
    pub sequences: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads: each serves `heads / kv_heads` query heads in a row.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
    /// The keys that a query sees, itself the last of them; all before it without.
    pub window: Option<usize>,
}

impl AttentionShape {
    /// Tokens of the batch.
    pub fn tokens(&self) -> usize {
        self.sequences * self.seq_len
    }

    /// Query heads that share a key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// 1 / sqrt(head_dim), in f64, rounded once: what scores are multiplied by in most models.
    pub fn usual_scale(head_dim: usize) -> f32 {
        (1.0 / libm::sqrt(head_dim as f64)) as f32
    }

    /// Keys before the first that query i sees.
    #[inline(always)]
    pub(super) fn unseen(&self, i: usize) -> usize {
        self.window.map_or(0, |window| (i + 1).saturating_sub(window))
    }

    /// Sequence, position and head of every query.
    pub(super) fn every_query(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.tokens())
            .flat_map(move |token| (0..self.heads).map(move |head| (token / self.seq_len, token % self.seq_len, head)))
    }

    pub(super) fn check(&self, queries: [&[f32]; 2], keys: [&[f32]; 2], rows: [&[f32]; 2]) {
        let AttentionShape { heads, kv_heads, head_dim, .. } = *self;
        assert!(head_dim > 0 && kv_heads > 0 && heads.is_multiple_of(kv_heads), "attention: {self:?}");
        let (n, d) = (self.tokens(), head_dim);
        assert_eq!(queries.map(<[f32]>::len), [n * heads * d; 2], "attention: queries and outputs of {self:?}");
        assert_eq!(keys.map(<[f32]>::len), [n * kv_heads * d; 2], "attention: keys and values of {self:?}");
        assert_eq!(rows.map(<[f32]>::len), [n * heads; 2], "attention: row maxima and sums of {self:?}");
    }

    pub(super) fn worth_threads(&self) -> bool {
        let work = self.tokens() * self.seq_len * self.heads * self.head_dim;
        work > 1 << 19 && self.sequences * self.kv_heads > 1 && rayon::current_num_threads() > 1
    }
}

/// One task's columns of a tensor: rows of one sequence, `ld` apart.
pub(super) struct View<'a> {
    pub data: &'a mut [f32],
    pub ld: usize,
}

impl View<'_> {
    #[inline(always)]
    pub fn row(&mut self, t: usize, first: usize, width: usize) -> &mut [f32] {
        &mut self.data[t * self.ld + first..][..width]
    }
}
