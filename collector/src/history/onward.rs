//! Stored records once more in the order they were committed, as the judge got them: for trying rules
//! on what happened.
//!
//! In: a time of ingestion. Out: [`Stretch`]es, oldest commit first; within a commit class by class.
//! Memory is one chunk of a segment per class, or one commit of the log.

use std::iter::Peekable;
use std::sync::Arc;

use hengwei_protocol::Kind;
use hengwei_protocol::wire::Block;

use super::chain::{self, Class};
use super::log::LogFile;
use super::read::{History, Sealed, Wanted, damaged, read_chunk};
use super::status::Counters;
use super::stored::{Group, Item};
use super::{Range, open, segment};

/// Records of one queue that were committed together and are of one class.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Commit number.
    pub commit: u64,
    /// Agent id and what was known of it then.
    pub agent: Arc<str>,
    /// Host name.
    pub host: Arc<str>,
    /// Site.
    pub site: Arc<str>,
    /// System.
    pub system: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// The queue they came in.
    pub kind: Kind,
    /// Whether a decoder raised them to security.
    pub raised: bool,
    /// Epoch of the queue.
    pub epoch: [u8; 16],
    /// `event.ingested`, Unix nanoseconds.
    pub ingested: i64,
    /// The records.
    pub block: Block,
}

impl History {
    /// Stored records, oldest commit first, until `see` returns false. What does not read back is
    /// counted, told and passed over. Blocking.
    pub fn onward(&self, range: &Range, see: &mut dyn FnMut(Stretch) -> bool) {
        let (view, counters) = (self.view(), self.counters());
        let agent = range.agent.as_deref();
        let wanted = &Wanted { since: range.since, until: range.until, agent };
        let mut show = |class: Class, item: Item| {
            let Item { commit, groups, .. } = item;
            groups
                .into_iter()
                .all(|group| stretch(commit, class, group, wanted).is_none_or(&mut *see))
        };
        let classes: Vec<Class> = [Kind::Asset, Kind::Performance, Kind::Log, Kind::Security]
            .into_iter()
            .filter(|kind| range.kinds.is_empty() || range.kinds.contains(kind))
            .map(Class::from)
            .collect();
        let mut cursors: Vec<_> = classes
            .iter()
            .map(|class| {
                let own = view.segments.iter().filter(move |sealed| {
                    sealed.stored.class == class.number()
                        && wanted.overlaps(sealed.stored.since, sealed.stored.until)
                });
                (*class, items(own.cloned(), wanted, counters).peekable())
            })
            .collect();
        while let Some((class, item)) = oldest(&mut cursors) {
            if !show(class, item) {
                return;
            }
        }
        for file in &view.logs {
            for (class, item) in frames(file, &classes, wanted, counters) {
                if !show(class, item) {
                    return;
                }
            }
        }
    }
}

/// The items of some segments of one class, in the order of their commits.
fn items<'a>(
    segments: impl Iterator<Item = Arc<Sealed>> + 'a,
    wanted: &'a Wanted<'_>,
    counters: &'a Counters,
) -> impl Iterator<Item = Item> + 'a {
    segments.flat_map(move |sealed| {
        let reader = sealed.open(counters);
        let chunks = reader.as_ref().map(|reader| reader.chunks.clone()).unwrap_or_default();
        let chunks = chunks.into_iter().filter(|chunk| wanted.overlaps(chunk.since, chunk.until));
        chunks.flat_map(move |chunk| match &reader {
            Some(reader) => read_chunk(&sealed, reader, &chunk, counters),
            None => Vec::new(),
        })
    })
}

/// The oldest item of all classes, the first of those that have the same commit.
fn oldest<I: Iterator<Item = Item>>(cursors: &mut [(Class, Peekable<I>)]) -> Option<(Class, Item)> {
    let peeked = cursors.iter_mut().enumerate();
    let commits = peeked.filter_map(|(at, (_, items))| Some((items.peek()?.commit, at)));
    let (_, at) = commits.min()?;
    let (class, items) = cursors.get_mut(at)?;
    Some((*class, items.next()?))
}

/// What a file of the log has of these classes.
fn frames<'a>(
    file: &'a LogFile,
    classes: &'a [Class],
    wanted: &'a Wanted<'_>,
    counters: &'a Counters,
) -> impl Iterator<Item = (Class, Item)> + 'a {
    let frames = file.frames().into_iter().filter(|frame| {
        wanted.overlaps(frame.since, frame.until) && classes.iter().any(|class| frame.has(*class))
    });
    frames.flat_map(move |frame| {
        let commit = file.read(&frame).inspect_err(|error| {
            let text = format!("{}: commit {}: {error}", file.path.display(), frame.number);
            damaged(counters, &text);
        });
        let mut items = commit.map_or_else(
            |_| Default::default(),
            |commit| segment::split(frame.number, &commit, open::unpacked(&commit, counters)),
        );
        let of = |class: &Class| Some((*class, items[class.index()].take()?));
        classes.iter().filter_map(of).collect::<Vec<_>>()
    })
}

fn stretch(commit: u64, class: Class, group: Group, wanted: &Wanted<'_>) -> Option<Stretch> {
    let (sender, block) = (group.sender?, group.block?);
    let agent = wanted.agent.is_none_or(|agent| agent == sender.agent);
    if !wanted.time(sender.ingested) || !agent {
        return None;
    }
    let kind = chain::kind_of(&sender);
    Some(Stretch {
        commit,
        kind,
        raised: Class::from(kind) != class,
        epoch: sender.epoch[..].try_into().unwrap_or_default(),
        ingested: sender.ingested,
        agent: sender.agent.into(),
        host: sender.host.into(),
        site: sender.site.into(),
        system: sender.system.into(),
        zone: sender.zone.into(),
        block,
    })
}
