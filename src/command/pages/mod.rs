//! What manual pages say beside the help: examples, environment, files, see also; a file a verb. The tests run every example.

/// The texts, by verb (`invoice-lock`); that of the whole program is called `l402`.
const PAGES: &[(&str, &str)] = &[
    ("aggregate", include_str!("aggregate.md")),
    ("assign", include_str!("assign.md")),
    ("attest", include_str!("attest.md")),
    ("audit", include_str!("audit.md")),
    ("beacon", include_str!("beacon.md")),
    ("commit", include_str!("commit.md")),
    ("completions", include_str!("completions.md")),
    ("compress", include_str!("compress.md")),
    ("devnet", include_str!("devnet.md")),
    ("devnet-down", include_str!("devnet-down.md")),
    ("devnet-mine", include_str!("devnet-mine.md")),
    ("devnet-status", include_str!("devnet-status.md")),
    ("devnet-up", include_str!("devnet-up.md")),
    ("explain", include_str!("explain.md")),
    ("export", include_str!("export.md")),
    ("init", include_str!("init.md")),
    ("inspect", include_str!("inspect.md")),
    ("invoice", include_str!("invoice.md")),
    ("invoice-issue", include_str!("invoice-issue.md")),
    ("invoice-lock", include_str!("invoice-lock.md")),
    ("invoice-offer", include_str!("invoice-offer.md")),
    ("invoice-status", include_str!("invoice-status.md")),
    ("key", include_str!("key.md")),
    ("l402", include_str!("l402.md")),
    ("log", include_str!("log.md")),
    ("man", include_str!("man.md")),
    ("merge", include_str!("merge.md")),
    ("new", include_str!("new.md")),
    ("open", include_str!("open.md")),
    ("pull", include_str!("pull.md")),
    ("recipe", include_str!("recipe.md")),
    ("recipe-check", include_str!("recipe-check.md")),
    ("recipe-diff", include_str!("recipe-diff.md")),
    ("recipe-show", include_str!("recipe-show.md")),
    ("replay", include_str!("replay.md")),
    ("report", include_str!("report.md")),
    ("roster", include_str!("roster.md")),
    ("sample", include_str!("sample.md")),
    ("score", include_str!("score.md")),
    ("selftest", include_str!("selftest.md")),
    ("settle", include_str!("settle.md")),
    ("shard", include_str!("shard.md")),
    ("status", include_str!("status.md")),
    ("train", include_str!("train.md")),
];

/// The text of a verb.
pub fn of(verb: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == verb).map(|(_, text)| *text)
}
