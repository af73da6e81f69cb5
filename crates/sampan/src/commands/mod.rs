//! Every command, one file each, and the list of them.

mod boot;
mod builder;
mod container;
mod image;
mod manifest;
mod network;
mod prune;
mod registry;
pub mod runtime;
mod serve;
mod system;
mod trash;
mod volume;

use crate::cli::Command;

/// All commands, in the order in which help lists them.
pub const ALL: &[Command] = &[
    Command::of::<container::run::Run>(),
    Command::of::<container::exec::Exec>(),
    Command::of::<container::ls::List>(),
    Command::of::<container::create::Create>(),
    Command::of::<container::start::Start>(),
    Command::of::<container::stop::Stop>(),
    Command::of::<container::restart::Restart>(),
    Command::of::<container::kill::Kill>(),
    Command::of::<container::pause::Pause>(),
    Command::of::<container::unpause::Unpause>(),
    Command::of::<container::rm::Remove>(),
    Command::of::<container::wait::Wait>(),
    Command::of::<container::attach::Attach>(),
    Command::of::<container::rename::Rename>(),
    Command::of::<container::update::Update>(),
    Command::of::<container::logs::Logs>(),
    Command::of::<container::cp::Copy>(),
    Command::of::<container::diff::Diff>(),
    Command::of::<container::commit::Commit>(),
    Command::of::<container::export::Export>(),
    Command::of::<container::top::Top>(),
    Command::of::<container::stats::Stats>(),
    Command::of::<container::prune::Prune>(),
    Command::of::<container::port::Ports>(),
    Command::of::<container::inspect::Inspect>(),
    Command::of::<image::build::Build>(),
    Command::of::<image::pull::Pull>(),
    Command::of::<image::push::Push>(),
    Command::of::<image::ls::List>(),
    Command::of::<image::tag::Tag>(),
    Command::of::<image::rm::Remove>(),
    Command::of::<image::load::Load>(),
    Command::of::<image::save::Save>(),
    Command::of::<image::import::Import>(),
    Command::of::<image::inspect::Inspect>(),
    Command::of::<image::history::History>(),
    Command::of::<image::tree::Tree>(),
    Command::of::<image::prune::Prune>(),
    Command::of::<image::verify::Verify>(),
    Command::of::<builder::du::DiskUsage>(),
    Command::of::<builder::prune::Prune>(),
    Command::of::<builder::prune::BuildxPrune>(),
    Command::of::<builder::shell::Shell>(),
    Command::of::<builder::diff::Diff>(),
    Command::of::<builder::retry::Retry>(),
    Command::of::<builder::history::ls::List>(),
    Command::of::<builder::history::inspect::Inspect>(),
    Command::of::<builder::history::logs::Logs>(),
    Command::of::<builder::history::rm::Remove>(),
    Command::of::<manifest::inspect::Inspect>(),
    Command::of::<registry::copy::Copy>(),
    Command::of::<registry::login::Login>(),
    Command::of::<registry::logout::Logout>(),
    Command::of::<registry::search::Search>(),
    Command::of::<network::connect::Connect>(),
    Command::of::<network::create::Create>(),
    Command::of::<network::disconnect::Disconnect>(),
    Command::of::<network::ls::List>(),
    Command::of::<network::rm::Remove>(),
    Command::of::<network::inspect::Inspect>(),
    Command::of::<network::prune::Prune>(),
    Command::of::<volume::create::Create>(),
    Command::of::<volume::ls::List>(),
    Command::of::<volume::rm::Remove>(),
    Command::of::<volume::inspect::Inspect>(),
    Command::of::<volume::prune::Prune>(),
    Command::of::<volume::export::Export>(),
    Command::of::<volume::import::Import>(),
    Command::of::<trash::undo::Undo>(),
    Command::of::<trash::ls::List>(),
    Command::of::<trash::restore::Restore>(),
    Command::of::<trash::empty::Empty>(),
    Command::of::<boot::Enable>(),
    Command::of::<boot::Disable>(),
    Command::of::<boot::Status>(),
    Command::of::<boot::Start>(),
    Command::of::<serve::registry::Registry>(),
    Command::of::<runtime::Runtime>(),
    Command::of::<system::inspect::Inspect>(),
    Command::of::<system::version::Version>(),
    Command::of::<system::info::Info>(),
    Command::of::<system::df::DiskUsage>(),
    Command::of::<system::prune::Prune>(),
    Command::of::<system::events::Events>(),
    Command::of::<system::completion::Completion>(),
    Command::of::<system::completion::Man>(),
];
