//! Files that can run code when they are opened as what they are, and weights in forms that nothing here reads. They are never
//! pulled.

/// Ends of names, in lower case.
const ENDS: [&str; 11] = ["bin", "ckpt", "dill", "h5", "hdf5", "joblib", "msgpack", "pickle", "pkl", "pt", "pth"];
/// Ends of names that stand after those, and change nothing.
const COMPRESSED: [&str; 6] = ["bz2", "gz", "lz4", "xz", "zip", "zst"];

/// Whether a file is one of those, by its name.
pub fn is_pickle(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut ends = name.split('.').rev().peekable();
    while ends.next_if(|end| COMPRESSED.contains(end)).is_some() {}
    ends.next().is_some_and(|end| ENDS.contains(&end)) && ends.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_are_known_by_their_names() {
        for name in [
            "pytorch_model.bin",
            "a/b.PT",
            "x.pth",
            "last.ckpt",
            "data.pkl.gz",
            "tf_model.h5",
            "flax_model.msgpack",
            ".bin",
        ] {
            assert!(is_pickle(name), "{name}");
        }
        for name in ["model.safetensors", "pytorch_model.bin.index.json", "bin", "a.bin/b.txt", "pt.json", "x.gz"] {
            assert!(!is_pickle(name), "{name}");
        }
    }
}
