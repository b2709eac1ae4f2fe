//! The report as one page: no script, nothing from elsewhere, every plot with its numbers beside it.

use super::chart::sat;
use super::escape::markup;
use super::model::Figures;
use super::plots;
use super::scale::{brief, bytes};
use super::svg::{Drawing, STYLE, beside};
use super::table::Table;
use super::tables;

/// Rows of a table that the page shows; the files have all.
const ROWS: usize = 1000;

/// Rows of a table with a row for each worker, or for each of their reasons.
const WORKERS: usize = 250;

/// The sheet of styles.
const SHEET: &str = "\
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Liberation Sans\",Arial,sans-serif}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 16px}
header{padding-top:28px}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 4px;font-weight:650;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:40px 0 4px;padding-top:14px;border-top:1px solid var(--rule);font-weight:650}
h3{font-size:.95rem;margin:0 0 6px;font-weight:600}
p{margin:0 0 10px;max-width:72ch}
.soft,footer{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(162px,1fr));gap:14px 20px;margin:22px 0 0}
dl div{border-top:2px solid var(--ink);padding-top:6px}
dt{font-size:.8rem;color:var(--soft)}
dd{margin:0;font-size:1.2rem;font-weight:600;line-height:1.25;font-variant-numeric:tabular-nums}
dd small{display:block;font-size:.8rem;font-weight:400;color:var(--soft)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr));gap:28px 32px;margin:18px 0 10px;align-items:start}
.two{max-width:980px}
figure{margin:0;min-width:0;max-width:460px}
.plot{display:block;width:100%;height:auto}
details{margin:10px 0}
summary{cursor:pointer;color:var(--soft);font-size:.875rem;padding:4px 0}
.scroll{overflow-x:auto;max-height:70vh;border:1px solid var(--rule);border-radius:4px;margin:6px 0 14px}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--c0);outline-offset:1px}
table{border-collapse:collapse;font-size:.8125rem;font-variant-numeric:tabular-nums;width:100%}
caption{text-align:left;padding:8px 10px;color:var(--soft);font-size:.8125rem}
th,td{padding:4px 10px;text-align:right;white-space:nowrap;border-top:1px solid var(--rule);font-weight:400}
thead th{color:var(--soft);position:sticky;top:0;background:var(--paper);border-top:0;box-shadow:inset 0 -1px var(--rule)}
.t{text-align:left}
td.t{white-space:normal;overflow-wrap:anywhere;min-width:9em}
footer{margin-top:40px;padding-bottom:40px}
@media print{body{font-size:10.5pt}h2{break-after:avoid}figure{break-inside:avoid}.scroll{max-height:none;overflow:visible;border:0}.grid{grid-template-columns:1fr 1fr}thead th{position:static}table{font-size:7.5pt}th,td{padding:2px 4px;white-space:normal}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}main,header,footer{max-width:none}}
";

/// All drawings of a report.
pub fn drawings(figures: &Figures) -> Vec<Drawing> {
    let mut all = plots::losses(figures);
    all.extend(plots::pay(figures));
    all.extend(plots::earned(figures));
    all.extend(plots::outcomes(figures));
    all.extend(plots::escrow(figures));
    all.extend(plots::compression(figures));
    all.extend(plots::training(figures));
    all
}

/// The first plots beside each other: whether it learns, who is paid, and who is not.
pub fn overview(figures: &Figures) -> String {
    let first = plots::losses(figures).into_iter().take(1);
    let all: Vec<Drawing> = first.chain(plots::pay(figures)).chain(plots::outcomes(figures)).collect();
    beside(&figures.name, &all)
}

fn figure(drawing: &Drawing) -> String {
    format!("<figure><h3>{}</h3>{}</figure>\n", markup(&drawing.title), drawing.inline())
}

fn figures_of(drawings: impl IntoIterator<Item = Drawing>) -> String {
    let drawings: Vec<Drawing> = drawings.into_iter().collect();
    let drawn: String = drawings.iter().map(figure).collect();
    // Four stand in two rows of two.
    let class = if drawings.len() == 4 { "grid two" } else { "grid" };
    if drawn.is_empty() { drawn } else { format!("<div class=\"{class}\">\n{drawn}</div>\n") }
}

fn details(table: &Table, most: usize, open: bool) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let (open, name) = (if open { " open" } else { "" }, table.name);
    format!("<details{open} id=\"{name}\"><summary>Table: {name}</summary>\n{}</details>\n", table.html(most))
}

fn fact(name: &str, value: &str, more: &str) -> String {
    let small = if more.is_empty() { String::new() } else { format!("<small>{}</small>", markup(more)) };
    format!("<div><dt>{}</dt><dd>{}{small}</dd></div>\n", markup(name), markup(value))
}

fn facts(figures: &Figures) -> String {
    let losses = figures.losses(|_| 1);
    let scored = losses.len();
    let mut all = fact("rounds", &figures.rounds.len().to_string(), &format!("{scored} of them scored"));
    if let (Some(first), Some(last)) = (losses.first(), losses.last()) {
        let change = format!("{:.3} \u{2192} {:.3}", first.1, last.1);
        all += &fact("held-out loss", &change, &format!("nats/{}, before round {:.0}", figures.unit, last.0));
    }
    let (updates, counting) = (figures.sum(|r| r.updates), figures.sum(|r| r.counting));
    all += &fact(
        "updates that count",
        &format!("{counting} of {updates}"),
        &format!("by {} workers", figures.workers.len()),
    );
    let exact = figures.sum(|r| r.exact);
    let mismatches = figures.sum(|r| r.mismatches);
    all += &fact("replayed exactly", &exact.to_string(), &format!("{mismatches} found to differ"));
    let (paid, locked) = (figures.sum(|r| r.paid_msat), figures.sum(|r| r.locked_msat));
    if locked > 0 {
        all += &fact(
            "paid",
            &format!("{} sat", sat(paid)),
            &format!("of {} sat locked; {} claimed", sat(locked), sat(figures.sum(|r| r.claimed_msat))),
        );
    } else {
        let entitled = figures.sum(|r| r.entitled_msat);
        all += &fact("entitled to", &format!("{} sat", sat(entitled)), "no escrow in the files");
    }
    let sent = figures.sum(|r| r.bytes);
    if let Some(dense) = figures.dense(updates).filter(|_| sent > 0) {
        let times = plots::short_times(dense as f64 / sent as f64);
        all += &fact("sent", &bytes(sent as f64), &format!("{times} times less than float32"));
    }
    let tokens = figures.sum(|r| r.tokens);
    all += &fact("tokens trained on", &brief(tokens as f64), "by updates that were scored");
    format!("<dl>\n{all}</dl>\n")
}

/// The page.
pub fn page(figures: &Figures) -> String {
    let name = markup(&figures.name);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>{name}: l402 report</title>\n<style>\n{STYLE}{SHEET}</style></head>\n<body>\n"
    );
    let unfinished = figures.rounds.last().is_some_and(|round| round.loss.is_none());
    out += &format!(
        "<header><h1>{name}</h1>\n<p class=\"soft\">run {}{}</p>\n{}</header>\n<main>\n",
        markup(&figures.run),
        if unfinished { "<br>its last round goes on" } else { "" },
        facts(figures)
    );
    if figures.rounds.is_empty() {
        out += "<h2>Nothing yet</h2>\n<p>No round has begun.</p>\n";
    }
    let losses = figures_of(plots::losses(figures));
    if !figures.rounds.is_empty() {
        out += "<h2>Does it learn?</h2>\n<p>The held-out loss of the model that a round begins with, as the round's scores have it, on \
                the sequences that its beacon drew. The model that the last round leaves is not measured yet.</p>\n";
        out += &losses;
        out += &details(&tables::rounds(figures), ROWS, losses.is_empty());
        out += "<h2>Who is paid, and for what</h2>\n<p>Pay follows what an update gains on held-out data. What was locked before the \
                work and is not earned goes back.</p>\n";
        out +=
            &figures_of(plots::pay(figures).into_iter().chain(plots::earned(figures)).chain(plots::outcomes(figures)));
        out += &details(&tables::workers(figures), WORKERS, false);
        let works = tables::works(figures);
        // Of a long run every worker's every round is in the CSV alone.
        if works.rows.len() <= 4 * ROWS {
            out += &details(&works, 4 * ROWS, false);
        }
    }
    if !figures.caught.is_empty() {
        out += "<h2>Who was caught, and by what</h2>\n";
        out += &tables::caught(figures).html(WORKERS);
    }
    let escrow = tables::escrow(figures);
    if !escrow.rows.is_empty() {
        out += "<h2>Escrow</h2>\n<p>Bars are what the offers set, from the height at which they were made; marks are what happened. The \
                last rounds are shown.</p>\n";
        out += &figures_of(plots::escrow(figures));
        out += &details(&escrow, ROWS, false);
    }
    let compression = figures_of(plots::compression(figures));
    if !compression.is_empty() {
        out += "<h2>What is sent</h2>\n";
        out += &compression;
        out += "<p class=\"soft\">The table of rounds has the bytes of each.</p>\n";
    }
    if !figures.logs.is_empty() {
        out += "<h2>Training</h2>\n<p>By the workers' own logs, which nobody has checked.</p>\n";
        out += &figures_of(plots::training(figures));
        out += &details(&tables::logs(figures), WORKERS, false);
    }
    out += "</main>\n<footer><p>Made by <code>l402 report</code> from the files as they are: nothing was computed again, and scores and verdicts \
            were not checked, which is what <code>l402 audit</code> does.</p>\n";
    if !figures.signed {
        out += "<p>The run is so large that no signature was looked at.</p>\n";
    }
    if figures.malformed > 0 {
        out += &format!("<p>{} lines or files are nothing of a run's, and were passed over.</p>\n", figures.malformed);
    }
    for note in figures.notes.iter().take(20) {
        out += &format!("<p>{}</p>\n", markup(&note.chars().take(400).collect::<String>()));
    }
    out + "</footer>\n</body></html>\n"
}
