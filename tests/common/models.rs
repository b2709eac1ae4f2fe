//! One small model of each kind.

use serde_json::Value;

/// The configurations that transformers wrote for the oracle, by name, with a vocabulary for bytes.
pub fn configs() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/architectures");
    let mut folders: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert_eq!(folders.len(), 11);
    let config = |folder: &std::path::PathBuf| {
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        config["vocab_size"] = 257.into();
        // As its own type says: what is completed is what was left out.
        config.as_object_mut().unwrap().remove("architectures");
        (folder.file_name().unwrap().to_string_lossy().into_owned(), config.to_string())
    };
    folders.iter().map(config).collect()
}
