//! Copies the files of a large tree on all processors.
//!
//! Nearly all of the time that small files take is the kernel's, and it makes the files of two directories at once. So
//! files go to threads by the directory, and there are no threads until there is more than one lot of them.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, Scope, ScopedJoinHandle},
};

use super::{Attributes, Found, copy::copy_file};

/// Files that are to be copied, and the threads that do it.
pub struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// Extended attributes are copied too.
    xattrs: bool,
    /// What is not handed over yet.
    lot: Option<Lot>,
    lots: Option<SyncSender<Lot>>,
    threads: Vec<ScopedJoinHandle<'scope, io::Result<()>>>,
}

/// Files of one directory, each with what its copy gets.
struct Lot {
    path: PathBuf,
    from: OwnedFd,
    to: OwnedFd,
    files: Vec<(OsString, Attributes)>,
    xattrs: bool,
}

impl<'scope, 'env> Crew<'scope, 'env> {
    pub fn new(scope: &'scope Scope<'scope, 'env>, xattrs: bool) -> Crew<'scope, 'env> {
        Crew { scope, xattrs, lot: None, lots: None, threads: Vec::new() }
    }

    /// Has a file copied into the directory `to` under its own name, now or later.
    pub fn copy(&mut self, found: &Found<'_>, to: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
        let path = found.path.parent().unwrap_or(Path::new(""));
        match self.lot.take() {
            Some(lot) if lot.path != path || lot.files.len() == LARGEST_LOT => self.hand_over(lot)?,
            lot => self.lot = lot,
        }
        if self.lot.is_none() {
            let (from, to) = (found.parent.try_clone_to_owned()?, to.try_clone_to_owned()?);
            self.lot = Some(Lot { path: path.to_owned(), from, to, files: Vec::new(), xattrs: self.xattrs });
        }
        if let Some(lot) = &mut self.lot {
            lot.files.push((found.name.as_os_str().to_owned(), attributes));
        }
        Ok(())
    }

    /// Copies what is left, and waits for what is not copied yet.
    pub fn finish(self) -> io::Result<()> {
        drop(self.lots);
        let last = self.lot.map_or(Ok(()), |lot| lot.copy());
        let others = self.threads.into_iter().map(|thread| thread.join().expect("nothing in it panics"));
        others.fold(last, |all, result| all.and(result))
    }

    fn hand_over(&mut self, lot: Lot) -> io::Result<()> {
        let lots = self.lots.get_or_insert_with(|| {
            let (sender, receiver) = sync_channel(WAITING_LOTS);
            let receiver = Arc::new(Mutex::new(receiver));
            let threads = thread::available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS));
            for _ in 0..threads {
                let receiver = receiver.clone();
                self.threads.push(self.scope.spawn(move || work(&receiver)));
            }
            sender
        });
        // Nobody takes it if all have failed: with what, they say in the end.
        lots.send(lot).map_err(|_| io::Error::other("the copy has failed"))
    }
}

/// Copies one lot after the other until there are no more, or one cannot be copied.
fn work(lots: &Mutex<Receiver<Lot>>) -> io::Result<()> {
    loop {
        let next = lots.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(lot) => lot.copy()?,
            Err(_) => return Ok(()),
        }
    }
}

impl Lot {
    fn copy(self) -> io::Result<()> {
        for (name, attributes) in self.files {
            let name = Path::new(&name);
            copy_file((self.from.as_fd(), name), (self.to.as_fd(), name), attributes, self.xattrs)?;
        }
        Ok(())
    }
}

/// Directories larger than that are shared out.
const LARGEST_LOT: usize = 256;

/// Two open directories each.
const WAITING_LOTS: usize = 4;

/// More would wait for the file system's journal.
const MOST_THREADS: usize = 4;
