//! gzip around a corpus: its members, one after the other, whole and with nothing after them.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// The content of one or several gzip members. Each one's length and CRC-32 are checked.
pub(super) struct Gzip<R: Read> {
    decoder: MultiGzDecoder<BufReader<R>>,
}

impl<R: Read> Gzip<R> {
    pub(super) fn new(raw: R) -> Gzip<R> {
        Gzip { decoder: MultiGzDecoder::new(BufReader::with_capacity(1 << 16, raw)) }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let malformed =
            |why: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("gzip: {why}"));
        self.decoder.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => malformed(&"ends before it is complete"),
            // A wrong checksum and a wrong header are "invalid input": for us both are malformed data.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => malformed(&error),
            _ => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Gzip::new(bytes).read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn members_follow_each_other() {
        let one = member(b"one\n");
        assert_eq!(read(&one).unwrap(), b"one\n");
        assert_eq!(read(&[&one[..], &member(b""), &member(b"two\n")].concat()).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn what_is_cut_damaged_or_goes_on_is_malformed() {
        let text: Vec<u8> = (0..9000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        let good = member(&text);
        assert_eq!(read(&good).unwrap(), text);
        let flipped = |at: usize| {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            bad
        };
        let end = good.len();
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("no gzip", b"plain text".to_vec()),
            ("cut in the header", good[..7].to_vec()),
            ("cut in the middle", good[..end / 2].to_vec()),
            ("cut in the checksum", good[..end - 6].to_vec()),
            ("its last byte missing", good[..end - 1].to_vec()),
            ("another checksum", flipped(end - 7)),
            ("another length", flipped(end - 2)),
            ("another content", flipped(end / 2)),
            ("a byte after it", [&good[..], b"\n"].concat()),
            ("zeros after it", [&good[..], &[0; 512]].concat()),
            ("half a member after it", [&good[..], &good[..end / 3]].concat()),
        ] {
            let error = read(&bytes).expect_err(what);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
        }
    }
}
