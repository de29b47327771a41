//! Decisions, on a thread of their own.
//!
//! # Why
//! A decision about thousands of nodes takes a while. Meanwhile requests and watches go on, and so does a simulated cluster, on
//! another core. What is decided on is handed over and back whole, so nothing changes under a decision, and the
//! moment at which its effects begin is set by the clock and not by how long it took.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use jiff::Timestamp;

use super::drive::Course;
use super::{Error, planning};
use crate::cluster::Observed;
use crate::inventory::Inventory;
use crate::plan::v1alpha1::{MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::reconcile::{Decision, GroupNodes, Ledger, NodePhase, View, decide};
use crate::schedule::search::Effort;

/// Of the effort for the first order, another one on the way gets this part, in percent.
const AGAIN_PERCENT: u64 = 10;
/// Of so few nodes that wait, the order hardly matters any more.
const FEW: usize = 3;

/// All that decisions are made of but the moment.
#[derive(Default)]
pub(super) struct Known {
    pub plan: MaintenancePlanSpec,
    pub campaign: String,
    pub driver: String,
    pub adopts: Vec<String>,
    pub groups: Vec<GroupNodes>,
    pub course: Course,
    /// How hard the first order was looked for.
    pub effort: Effort,
    /// Nodes that were through when the order was looked at last.
    pub returned: usize,
    pub inventory: Inventory,
    pub ledger: Ledger,
    /// The record as last written (or as it shall be written first, after a campaign was taken up).
    pub status: MaintenanceCampaignStatus,
}

/// The moment.
pub(super) struct Moment {
    pub stopping: bool,
    pub halted: Option<String>,
    pub given_up: Option<String>,
    pub now: Timestamp,
}

impl Known {
    fn decide(&self, moment: &Moment) -> Decision {
        decide(&View {
            inventory: &self.inventory,
            plan: &self.plan,
            campaign: &self.campaign,
            guide: &self.course.guide,
            groups: &self.groups,
            status: &self.status,
            ledger: &self.ledger,
            driver: &self.driver,
            adopts: &self.adopts,
            stopping: moment.stopping.then_some("stopped by the operator"),
            halted: moment.halted.as_deref(),
            given_up: moment.given_up.as_deref(),
            now: moment.now,
        })
    }

    /// Looks for a better order of the nodes that wait whenever another tenth of all has come back: by then it is known how long
    /// they really take, and where the room is. True if there is one.
    fn reorder(&mut self, status: &MaintenanceCampaignStatus, now: Timestamp) -> bool {
        let all: usize = self.groups.iter().map(|g| g.nodes.len()).sum();
        let returned = status.nodes.iter().filter(|n| n.phase == NodePhase::Done.name()).count();
        let waiting = all.saturating_sub(status.nodes.len());
        if waiting < FEW || returned < self.returned + (all / 10).max(1) {
            return false;
        }
        self.returned = returned;
        let mut durations = self.course.earlier.clone();
        durations.learn(status);
        let planned = planning::resumed(&self.plan, &self.groups, &self.inventory, status, &durations, now);
        let effort = Effort::of(self.effort.plays * AGAIN_PERCENT / 100);
        let better = planning::better(&self.course.guide, &planned.problem, effort);
        let is_better = better.is_some();
        self.course.guide = better.unwrap_or_else(|| std::mem::take(&mut self.course.guide));
        is_better
    }
}

/// What comes back.
pub(super) struct Decided {
    pub known: Box<Known>,
    /// An error if a watch can't go on, or the decision broke.
    pub decision: Result<Decision, Error>,
    /// There is a better order from now on.
    pub is_reordered: bool,
}

/// The thread. It ends when this is dropped.
pub(super) struct Decider {
    asks: Sender<(Box<Known>, Observed, Moment)>,
    answers: Receiver<Decided>,
}

fn decided(mut known: Box<Known>, observed: Observed, moment: &Moment) -> Decided {
    let decide = || -> Result<(Decision, bool), Error> {
        observed.apply(&mut known.inventory)?;
        let decision = known.decide(moment);
        let is_reordered = known.reorder(&decision.status, moment.now);
        Ok((decision, is_reordered))
    };
    // What is known goes back even from a decision that broke: the hooks that run are still to be awaited.
    let (decision, is_reordered) = match catch_unwind(AssertUnwindSafe(decide)) {
        Ok(Ok((decision, is_reordered))) => (Ok(decision), is_reordered),
        Ok(Err(error)) => (Err(error), false),
        Err(_) => (Err(broken()), false),
    };
    Decided { known, decision, is_reordered }
}

fn broken() -> Error {
    Error::Broken("a decision broke; what is above says where".to_owned())
}

impl Decider {
    /// Starts it.
    ///
    /// # Errors
    /// No thread is to be had.
    pub(super) fn start() -> Result<Self, Error> {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let work = move || {
            while let Ok((known, observed, moment)) = asked.recv() {
                if answer.send(decided(known, observed, &moment)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("decider".to_owned()).spawn(work);
        thread.map_err(|e| Error::Broken(format!("no thread for decisions: {e}")))?;
        Ok(Self { asks, answers })
    }

    /// Begins to take in what was observed, and to decide.
    ///
    /// # Errors
    /// An earlier decision broke the thread.
    pub(super) fn ask(&self, known: Box<Known>, observed: Observed, moment: Moment) -> Result<(), Error> {
        self.asks.send((known, observed, moment)).map_err(|_| broken())
    }

    /// Waits for the decision, and lets nothing else happen: a simulated clock would run on.
    ///
    /// # Errors
    /// The decision broke.
    pub(super) fn answer(&self) -> Result<Decided, Error> {
        self.answers.recv().map_err(|_| broken())
    }
}
