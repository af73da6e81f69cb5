use std::fs;

use super::*;

fn context(files: &[&str], ignore: &str) -> (tempfile::TempDir, Context) {
    let root = tempfile::tempdir().expect("temporary directory");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("below the root")).expect("parents");
        fs::write(path, file).expect("file");
    }
    let ignore = Ignore::parse(ignore).expect("patterns");
    let context = Context::open(root.path(), ignore, Index::default()).expect("context");
    (root, context)
}

/// The files, not directories, that a pattern selects.
fn selected(context: &Context, pattern: &str) -> String {
    match context.select(pattern, &Selection::default()) {
        Err(error) => error.to_string(),
        Ok(trees) => {
            let mut names = Vec::new();
            for tree in &trees {
                let files = tree.entries.iter().filter(|(_, entry)| entry.kind == FileType::RegularFile);
                names.extend(files.map(|(below, _)| match below.as_os_str().is_empty() {
                    true => tree.path.display().to_string(),
                    false => tree.path.join(below).display().to_string(),
                }));
            }
            names.join(" ")
        }
    }
}

#[test]
fn what_is_ignored_is_not_there() {
    let files = ["a.txt", "node_modules/big/x", "keep/me", "keep/not", "README.md"];
    let (_root, context) = context(&files, "node_modules\nkeep\n!keep/me\n*.md\n");
    assert_eq!(selected(&context, "."), "a.txt keep/me");
    assert_eq!(selected(&context, "keep"), "keep/me");
    assert_eq!(selected(&context, "*"), "a.txt keep/me");
    let missing =
        "failed to compute cache key: failed to calculate checksum of ref context: \"/README.md\": not found";
    assert_eq!(selected(&context, "README.md"), missing);
    let missing = "failed to compute cache key: failed to calculate checksum of ref context: \"/node_modules\": not found";
    assert_eq!(selected(&context, "node_modules"), missing);
}

#[test]
fn patterns_and_paths_stay_inside() {
    let (_root, context) = context(&["a/x1", "a/x2", "b/x1"], "");
    assert_eq!(selected(&context, "*/x1"), "a/x1 b/x1");
    assert_eq!(selected(&context, "a/x?"), "a/x1 a/x2");
    assert_eq!(selected(&context, "../../b/x1"), "b/x1");
    assert_eq!(selected(&context, "nothing*"), "");
    assert_eq!(selected(&context, "a/[x"), "\"a/[x\": syntax error in pattern");
    assert_eq!(
        selected(&context, "a/x1/y"),
        "failed to compute cache key: failed to calculate checksum of ref context: \"/a/x1/y\": not found"
    );
}

#[test]
fn a_digest_tells_of_content_and_mode_but_not_of_time() {
    use std::os::unix::fs::PermissionsExt;
    let (root, context) = context(&["f"], "");
    let digest = || {
        context.select("f", &Selection::default()).expect("there")[0].files().next().map(|(_, digest)| digest)
    };
    let first = digest();
    let file = fs::File::options().append(true).open(root.path().join("f")).expect("file");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("time");
    assert_eq!(digest(), first);
    file.set_permissions(fs::Permissions::from_mode(0o700)).expect("mode");
    assert_ne!(digest(), first);
}

#[test]
fn a_change_after_the_digest_is_noticed() {
    let (root, context) = context(&["d/f"], "");
    let trees = context.select("d", &Selection::default()).expect("there");
    assert!(context.check_unchanged(&trees[0], &|_| true).is_ok());
    fs::write(root.path().join("d/f"), "other content").expect("written");
    assert!(matches!(context.check_unchanged(&trees[0], &|_| true), Err(ContextError::Changed(_))));
}

#[test]
fn an_index_remembers_what_is_settled_and_forgets_what_is_damaged() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("index");
    let settled = Fingerprint::of(&rustix::fs::stat("/").expect("root"));
    let fresh = Fingerprint::of(&rustix::fs::stat(directory.path()).expect("directory"));
    let mut index = Index::load(&path);
    index.note(settled, Digest::of(b"settled"));
    index.note(fresh, Digest::of(b"fresh"));
    index.save().expect("saved");
    let mut again = Index::load(&path);
    assert_eq!(again.digest(&settled), Some(Digest::of(b"settled")));
    assert_eq!(again.digest(&fresh), None);
    fs::write(&path, b"rubbish").expect("damaged");
    assert_eq!(Index::load(&path).digest(&settled), None);
}
