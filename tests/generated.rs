//! Generated files are what their generators make now.

use std::collections::BTreeMap;
use std::path::Path;

use l402::cli;

#[test]
fn the_committed_man_pages_are_those_of_the_command_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let committed: BTreeMap<String, String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let made: BTreeMap<String, String> = l402::command::man::pages(&cli::tree()).unwrap().into_iter().collect();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&made), "`just generate` makes them");
    for (name, page) in made {
        assert_eq!(committed[&name], page, "{name} is not up to date: `just generate` makes it");
    }
}
