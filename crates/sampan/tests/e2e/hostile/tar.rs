//! Archives with what no proper program writes.

/// A tar archive that takes everything as it is given.
#[derive(Debug, Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Tar {
        self.entry(name, b'0', "", (0, 0), content.as_ref())
    }

    pub fn directory(self, name: &str) -> Tar {
        self.entry(name, b'5', "", (0, 0), b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(name, b'2', target, (0, 0), b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Tar {
        self.entry(name, b'1', target, (0, 0), b"")
    }

    /// A character device.
    pub fn device(self, name: &str, major: u32, minor: u32) -> Tar {
        self.entry(name, b'3', "", (major, minor), b"")
    }

    /// An extended header for the next entry with one record.
    pub fn pax(self, key: &str, value: &[u8]) -> Tar {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        // The length counts its own digits.
        let digits = |length: usize| length.to_string().len();
        let mut length = rest.len() + digits(rest.len());
        length = rest.len() + digits(length);
        let record = [length.to_string().as_bytes(), &rest].concat();
        self.entry("pax", b'x', "", (0, 0), &record)
    }

    /// The archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    /// The archive so far.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn entry(
        mut self,
        name: &str,
        kind: u8,
        target: &str,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> Tar {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755");
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000001");
        put(148, "        ");
        put(157, target);
        put(257, "ustar\x0000");
        put(329, &format!("{major:07o}"));
        put(337, &format!("{minor:07o}"));
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }
}

const BLOCK: usize = 512;
