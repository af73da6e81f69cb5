//! Paths as text, with Go's rules: what a Dockerfile and an ignore file write.

/// The shortest path that means the same: no empty or `.` components, and `..` takes its parent away. As Go's
/// `path.Clean`.
pub fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => drop(kept.pop()),
            ".." if absolute => {}
            _ => kept.push(component),
        }
    }
    match (absolute, kept.is_empty()) {
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
        (true, _) => format!("/{}", kept.join("/")),
    }
}

/// `path` seen from the absolute `directory`, cleaned.
pub fn join(directory: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => clean(path),
        false => clean(&format!("/{directory}/{path}")),
    }
}

/// Whether the last component says that `path` is a directory.
pub fn names_directory(path: &str) -> bool {
    path.ends_with('/') || matches!(path.rsplit('/').next(), Some("." | ".." | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_gos_are() {
        for (path, cleaned) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("/", "/"),
            ("..", ".."),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(join("/app", "../x/"), "/x");
        assert_eq!(join("", "x"), "/x");
    }
}
