//! When a step begins, and what is said of it when it ends.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

/// Steps by number, or one for each line of stdin.
pub struct Pace {
    drive: bool,
    left: u32,
    about: Value,
    step: u32,
    began: Instant,
}

impl Pace {
    /// Says that all is ready.
    pub fn new(drive: bool, steps: u32, about: Value) -> Pace {
        say(&with(&about, json!({"ready": true})));
        Pace { drive, left: steps, about, step: 0, began: Instant::now() }
    }

    /// Whether there is to be another step; its time begins now.
    pub fn wait(&mut self) -> bool {
        let more = match self.drive {
            true => std::io::stdin().read_line(&mut String::new()).is_ok_and(|n| n > 0),
            false => self.left > 0,
        };
        self.left = self.left.saturating_sub(1);
        self.began = Instant::now();
        more
    }

    /// The end of a step.
    pub fn done(&mut self, result: Value) {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut line = with(&json!({"step": self.step, "seconds": seconds, "peak_rss_mib": peak_rss_mib()}), result);
        if let (Some(tokens), Some(flops)) = (self.about["tokens"].as_f64(), self.about["flops"].as_f64()) {
            let rates = json!({"tokens_per_s": tokens / seconds, "gflops": flops / seconds / 1e9, "tokens": tokens});
            line = with(&line, rates);
        }
        say(&line);
        self.step += 1;
    }
}

fn with(object: &Value, more: Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().expect("lines are objects");
    fields.extend(more.as_object().expect("lines are objects").clone());
    object
}

fn say(line: &Value) {
    println!("{line}");
    std::io::stdout().flush().expect("stdout is open");
}

/// The most memory this process had at a time, where the system says.
fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
}
