//! JUnit's XML, as far as pipelines agree on it: a suite of cases, each passed, failed or broken.

use std::fmt::Write;

use super::check::{Check, Checks, Outcome};
use crate::ui::escape;

/// The file's text.
pub fn xml(checks: &Checks) -> String {
    let count = |of: fn(&Outcome) -> bool| checks.checks.iter().filter(|check| of(&check.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let errors = count(|outcome| matches!(outcome, Outcome::Broken(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let seconds: f64 = checks.checks.iter().map(|check| check.time.as_secs_f64()).sum();
    let (name, tests) = (text(&format!("l402 {}", checks.verb)), checks.checks.len());
    let head = format!(
        "name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\""
    );
    let mut xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n  <testsuite {head}>\n");
    for check in &checks.checks {
        case(&mut xml, checks, check);
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

fn case(xml: &mut String, checks: &Checks, check: &Check) {
    let (class, name, seconds) = (text(&checks.of), text(&check.name), check.time.as_secs_f64());
    let _ = write!(xml, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\"");
    let (element, why) = match &check.outcome {
        Outcome::Passed => {
            xml.push_str("/>\n");
            return;
        }
        Outcome::Failed(why) => ("failure", why),
        Outcome::Broken(why) => ("error", why),
        Outcome::Skipped(why) => ("skipped", why),
    };
    let _ = write!(xml, ">\n      <{element} message=\"{}\"/>\n    </testcase>\n", text(why));
}

/// Text as it can stand in an attribute: what no terminal may get, no file of this kind may hold either.
fn text(text: &str) -> String {
    let mut escaped = String::new();
    for c in escape::line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_nothing_else() {
        let mut checks = Checks::begin("replay", "round 3");
        checks.add("<alice a=\"b\">&'\u{1b}[2J\u{0}", Outcome::Passed);
        checks.add("bob", Outcome::Failed("]]></failure><x y=\"\n\"".into()));
        checks.add("cy", Outcome::Broken("gone".into()));
        let xml = xml(&checks);
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"1\""), "{xml}");
        assert!(xml.contains("classname=\"round 3\" name=\"&lt;alice a=&quot;b&quot;&gt;&amp;&apos;"), "{xml}");
        assert!(xml.contains("<failure message=\"]]&gt;&lt;/failure&gt;&lt;x y=&quot;"), "{xml}");
        assert!(xml.contains("<error message=\"gone\"/>"), "{xml}");
        assert!(xml.chars().all(|c| c == '\n' || !c.is_control()), "{xml:?}");
        // Two suites, three cases, two of them with what went wrong: every element that begins ends.
        let (begun, ended) = (xml.matches('<').count(), xml.matches("</").count());
        assert_eq!((begun, ended, xml.matches("/>").count()), (1 + 2 + 3 + 2 + 4, 4, 3), "{xml}");
    }
}
