//! Whose no a reason of the scores is.

/// Whether a reason of the scores is a replay's.
pub fn by_replay(reason: &str) -> bool {
    ["replay differs", "replayed in part", "near, not exact", "sampled by", "the sample is", "too little", "not near"]
        .iter()
        .any(|begins| reason.starts_with(begins))
        || reason == "not replayed"
}

/// Whether it is a signal's.
pub fn by_signal(reason: &str) -> bool {
    [
        "its norm",
        "sends nothing",
        "sends the places",
        "a sum of earlier",
        "goes against",
        "it does not gain clearly more on its own",
        "over rounds it does not gain",
    ]
    .iter()
    .any(|begins| reason.starts_with(begins))
}

/// Whether it is the gain's.
pub fn by_gain(reason: &str) -> bool {
    reason.starts_with("its gain is")
}
