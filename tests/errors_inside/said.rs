//! What commands said, and how they ended, as one text that a test demands.

use std::fs;
use std::path::Path;

use crate::common::{World, talk};

/// What was said so far.
pub struct Said<'w> {
    world: &'w World,
    /// Places that differ each time, and how they are shown.
    names: Vec<(String, &'static str)>,
    text: String,
}

impl<'w> Said<'w> {
    /// Nothing.
    pub fn in_world(world: &'w World) -> Said<'w> {
        Said { world, names: Vec::new(), text: String::from("\n") }
    }

    /// A place that is shown by a name.
    pub fn call(&mut self, place: impl AsRef<Path>, name: &'static str) {
        self.names.insert(0, (place.as_ref().display().to_string(), name));
    }

    /// What becomes of a command line.
    pub fn step(&mut self, what: &str, args: &str) {
        let output = self.world.run(args);
        let mut said = talk(&output);
        for (place, name) in &self.names {
            said = said.replace(place, name);
        }
        assert!(!said.contains('\u{1b}'), "{what}: what a terminal obeys");
        let code = output.status.code().expect("no signal");
        self.text += &format!("{what}: {code}\n{}\n", digests(&said));
    }

    /// All of it must be this. `L402_REGENERATE=1` writes what it is into the test.
    #[track_caller]
    pub fn is(self, expected: &str, source: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        if self.text != expected && std::env::var_os("L402_REGENERATE").is_some() {
            let source = fs::read_to_string(&path).unwrap();
            let quoted = |text: &str| format!("r#\"{text}\"#");
            assert_eq!(source.matches(&quoted(expected)).count(), 1, "one such text");
            fs::write(&path, source.replace(&quoted(expected), &quoted(&self.text))).unwrap();
            return;
        }
        assert!(self.text == expected, "expected{expected}found{}", self.text);
    }
}

/// Digests and keys, as `<digest>`.
fn digests(said: &str) -> String {
    let (mut shown, mut run) = (String::new(), String::new());
    for c in said.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        shown += if run.len() >= 16 { "<digest>" } else { &run };
        run.clear();
        shown.push(c);
    }
    shown.pop();
    shown
}
