//! A commit's files in a directory, the same on every machine.

use std::{
    fs::{self, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use image::tree::{Links, Root};

use super::{GitError, Mirror, Revision, command::Repository, object_format};

/// What of a commit is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The repository too, as `.git`, of this commit alone. Not for a part of the files, as for docker.
    pub keep_git_dir: bool,
    pub submodules: bool,
}

impl Mirror<'_> {
    /// Puts the files of `revision`, which is fetched if need be, into `scratch`, an empty directory, and returns where
    /// there: files have the modes 0644 or 0755.
    pub fn check_out(
        &self,
        revision: &Revision,
        wanted: Wanted,
        scratch: &Path,
    ) -> Result<PathBuf, GitError> {
        self.fetch(revision)?;
        let keep = |source| GitError::Keep { remote: self.reference.remote.clone(), source };
        let directory = self.reference.directory.as_deref().map(|directory| directory.trim_matches('/'));
        let directory = directory.filter(|directory| !matches!(*directory, "" | "."));
        let keep_git_dir = wanted.keep_git_dir && directory.is_none();

        let files = scratch.join("files");
        fs::create_dir(&files).map_err(keep)?;
        let git_dir = if keep_git_dir { files.join(".git") } else { scratch.join("git") };
        let repository = Repository { directory: &git_dir, files: Some(&files), ..self.here() };
        self.make(&repository, revision, keep_git_dir)?;
        repository.run(&["checkout", "--quiet", "--force", "--detach", &revision.commit, "--"])?;
        if wanted.submodules && files.join(".gitmodules").exists() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
            repository.run(&update).map_err(|error| match error {
                GitError::Failed { .. } => {
                    let remote = self.reference.remote.clone();
                    GitError::Submodules { remote, error: Box::new(error) }
                }
                other => other,
            })?;
        }

        let modules = settle_files(&files).map_err(keep)?;
        if keep_git_dir {
            settle_repository(&repository).map_err(keep)??;
            for module in modules {
                let git_dir = linked(&module).map_err(keep)?;
                let files = module.parent().unwrap_or(&module);
                let repository = Repository { directory: &git_dir, files: Some(files), ..repository };
                settle_repository(&repository).map_err(keep)??;
            }
            settle_files(&git_dir).map_err(keep)?;
        } else {
            // They name a directory of this machine.
            modules.iter().try_for_each(fs::remove_file).map_err(keep)?;
            fs::remove_dir_all(&git_dir).map_err(keep)?;
        }
        match directory {
            None => Ok(files),
            Some(directory) => below(&files, directory)
                .map_err(|source| GitError::NoDirectory { directory: directory.to_owned(), source }),
        }
    }

    /// Makes a repository for the checkout: one that has the commit itself if it is `to_keep`, else one that reads the
    /// mirror's objects.
    fn make(&self, repository: &Repository<'_>, revision: &Revision, to_keep: bool) -> Result<(), GitError> {
        let keep = |source| GitError::Keep { remote: self.reference.remote.clone(), source };
        let bare = Repository { files: None, ..*repository };
        fs::create_dir_all(repository.directory).map_err(keep)?;
        let format = object_format(revision.commit.len());
        bare.run(&["init", "--quiet", "--bare", "--template=", format])?;
        bare.run(&["config", "core.bare", "false"])?;
        // Submodules are looked for beside it.
        bare.run(&["config", "remote.origin.url", &self.reference.remote])?;
        if !to_keep {
            let objects = format!("{}\n", self.path.join("objects").display());
            fs::create_dir_all(repository.directory.join("objects/info")).map_err(keep)?;
            return fs::write(repository.directory.join("objects/info/alternates"), objects).map_err(keep);
        }
        bare.run(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])?;
        // What is fetched by its name is offered by one.
        let here = format!("refs/fetched/{}", revision.object);
        self.here().run(&["update-ref", &here, &revision.object])?;
        let mirror = format!("file://{}", self.path.display());
        let there = revision.name.as_deref().unwrap_or("refs/fetched/commit");
        let reference = format!("+{here}:{there}");
        bare.run_locally(&["fetch", "--quiet", "--no-tags", "--depth=1", "--", &mirror, &reference])?;
        Ok(())
    }
}

/// Gives everything below `directory`, which is Git's and ours, modes that do not depend on the caller's umask, and
/// returns the files that link submodules to their repositories: a commit can have nothing called `.git`.
fn settle_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut links = Vec::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(directory) = rest.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            match (kind.is_dir(), kind.is_file(), entry.file_name() == ".git") {
                // Of the whole: it is settled for itself.
                (true, _, true) => {}
                (true, _, false) => rest.push(entry.path()),
                (_, true, is_link) => {
                    let mode = match entry.metadata()?.permissions().mode() {
                        mode if mode & 0o100 != 0 => 0o755,
                        mode if mode & 0o200 == 0 => 0o444,
                        _ => 0o644,
                    };
                    fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
                    links.extend(is_link.then(|| entry.path()));
                }
                _ => {}
            }
        }
    }
    Ok(links)
}

/// Brings a repository that is kept into the form that depends on its commit only: no times, no inodes, packs made by
/// one thread.
fn settle_repository(repository: &Repository<'_>) -> io::Result<Result<(), GitError>> {
    for left in ["index", "FETCH_HEAD", "ORIG_HEAD"] {
        match fs::remove_file(repository.directory.join(left)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let commands = [&["read-tree", "HEAD"][..], &["repack", "-a", "-d", "-F", "-q"], &["update-server-info"]];
    Ok(commands.into_iter().try_for_each(|command| repository.run(command).map(drop)))
}

/// The repository that a submodule's `.git` names.
fn linked(file: &Path) -> io::Result<PathBuf> {
    let text = fs::read_to_string(file)?;
    let target = text.trim_end().strip_prefix("gitdir: ").ok_or(io::ErrorKind::InvalidData)?;
    file.parent().unwrap_or(file).join(target).canonicalize()
}

/// The directory `path` below `files`. Links are followed as if that were the root.
fn below(files: &Path, path: &str) -> io::Result<PathBuf> {
    let root = Root::open(files, Links::StayInside)?;
    let directory = root.directory(Path::new(path))?;
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}
