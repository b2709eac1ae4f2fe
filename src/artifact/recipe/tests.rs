//! Recipes as people write them.

use super::*;

const RECIPE: &str = r#"
    arithmetic = 1
    name = "t"
    [model]
    [data]
    tokenizer = "bytes"
    seq_len = 8
    [inner]
    steps = 1
    batch = 2
    lr = 1e-3
"#;

#[test]
fn spelling_out_a_default_changes_no_digest_and_changing_a_value_does() {
    let plain = Recipe::parse(RECIPE).unwrap();
    let spelled = Recipe::parse(&format!("{RECIPE}\nbeta1 = 0.9\n[codec]\ntop_k = 64")).unwrap();
    let changed = Recipe::parse(&format!("{RECIPE}\nbeta1 = 0.91")).unwrap();
    assert_eq!(plain.digest(), spelled.digest());
    assert_ne!(plain.digest(), changed.digest());
}

#[test]
fn a_table_of_defaults_may_be_left_out_and_what_is_missing_is_named_with_its_table() {
    let without = |part: &str| Recipe::parse(&RECIPE.replace(part, ""));
    assert_eq!(without("[model]").unwrap(), Recipe::parse(RECIPE).unwrap());
    for (part, says) in [
        ("lr = 1e-3", "expected `lr` in [inner], found none"),
        ("seq_len = 8", "expected `seq_len` in [data], found none"),
        ("name = \"t\"", "expected `name`, before the first table, found none"),
        ("[data]\n    tokenizer = \"bytes\"\n    seq_len = 8", "expected table [data], found none"),
    ] {
        let error = without(part).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("line"), "{error}");
    }
    let validator = Recipe::parse(&format!("{RECIPE}[[score.validators]]\nweight = 2")).unwrap_err();
    assert!(validator.to_string().contains("expected `key` in [score]"), "{validator}");
    let kind = Recipe::parse(&RECIPE.replace("steps = 1", "steps = \"one\"")).unwrap_err();
    assert!(kind.to_string().contains("line 9"), "{kind}");
}

#[test]
fn an_unknown_or_impossible_value_is_refused_by_name() {
    let unknown = Recipe::parse(&format!("{RECIPE}\nbeta3 = 0.9")).unwrap_err();
    assert!(unknown.to_string().contains("beta3"), "{unknown}");
    let impossible = Recipe::parse(&format!("{RECIPE}\nbeta1 = 1.5")).unwrap_err();
    let says = "inner.beta1: expected 0 to below 1, found 1.5";
    assert!(impossible.to_string().contains(says), "{impossible}");
}

#[test]
fn nothing_counts_that_nothing_checks() {
    let refused = |more: &str| match Recipe::parse(&format!("{RECIPE}\n{more}")) {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    let near = "[verify]\naccept = \"near\"\n[codec]\nfeedback = 0.0";
    assert_eq!(refused(near), None);
    let carried = refused("[verify]\naccept = \"near\"").unwrap();
    assert!(carried.starts_with("codec.feedback: expected 0 with verify.accept = \"near\""), "{carried}");
    let carried = refused(&format!("state = \"carry\"\n{near}")).unwrap();
    assert!(carried.starts_with("inner.state: expected \"reset\" with verify.accept = \"near\""), "{carried}");
    for accept in ["sampled", "near"] {
        let none = refused(&format!("[codec]\nfeedback = 0.0\n[verify]\nchunks = 0\naccept = \"{accept}\"")).unwrap();
        assert!(none.starts_with("verify.chunks: expected at least 1"), "{none}");
    }
    assert_eq!(refused("[verify]\nchunks = 0"), None);
}

#[test]
fn floats_that_are_written_are_read_to_the_bit_and_the_digest_stays() {
    let mut state = 402u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let mut within = |low: f64, high: f64| loop {
        let value = f64::from_bits(random() & !(1 << 63));
        if (low..=high).contains(&value) {
            return value;
        }
    };
    for _ in 0..5_000 {
        let (lr, eps, clip) = (within(0.0, 1e3), within(1e-30, 1.0), within(1e-30, 1e30));
        let (decay, beta) = (within(0.0, 1e3), within(0.0, 0.999));
        let text = RECIPE.replace("lr = 1e-3", &format!("lr = {lr:?}"));
        let text = format!(
            "{text}\neps = {eps:e}\nclip = {clip:.30e}\nweight_decay = {decay:?}\nbeta2 = {beta:.40e}\n\
             [codec]\nfeedback = {beta:?}"
        );
        let recipe = Recipe::parse(&text).unwrap();
        let mut made = Recipe::parse(RECIPE).unwrap();
        made.inner = InnerRecipe { lr, eps, clip, weight_decay: decay, beta2: beta, ..made.inner };
        made.codec.feedback = beta;
        // Their bits are in the digest.
        assert_eq!(recipe.digest(), made.digest(), "{text}");
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap().digest(), made.digest(), "{json}");
        let toml = toml::to_string(&recipe).unwrap();
        assert_eq!(Recipe::parse(&toml).unwrap().digest(), made.digest(), "{toml}");
    }
}
