//! Sync groups: virtual routers that change state together.
//!
//! A group is in FAULT while one of its members is. It is master only when each member would be: a member whose timer
//! runs out before that of another is held back. A member that gives way takes the others along, who answer for their
//! addresses until somebody else does.

use crate::config;
use crate::event::{Action, GroupId, InstanceId, Report, StateName};
use crate::explain::Why;
use crate::instance::Instance;
use crate::machine::Input;
use crate::router::Router;
use crate::state::{Backup, DownTimer, Init, Leave, Leaving, State};
use crate::status::GroupStatus;
use evenkeel_wire::Instant;

/// A sync group, and what was last told about it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) config: config::Group,
    pub(crate) members: Vec<usize>,
    notified: Option<Report>,
    state: StateName,
    since_at: Instant,
}

/// What a member knows of the other members of its group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bond {
    /// Name of the group.
    pub(crate) group: String,
    /// Why another member may not be master.
    pub(crate) fault: Option<String>,
    /// What another member waits for before it can start.
    pub(crate) awaited: Option<String>,
    /// Each other member is master, or would be if this one were.
    pub(crate) is_ready: bool,
    /// Each other member owns its addresses.
    pub(crate) all_own: bool,
    /// Each other member goes on, too, as the master that died.
    pub(crate) all_resume: bool,
}

/// What the others have to hear of a member that stays in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A master heard a lower one.
    Outranked,
    /// A backup knows a master that it does not mean to replace.
    Accepted,
}

impl Group {
    pub(crate) fn new(id: GroupId, config: config::Group, now: Instant) -> Self {
        let members = config.members.iter().map(|member| member.0 as usize).collect();
        Group { id, config, members, notified: None, state: StateName::Init, since_at: now }
    }

    /// Of the same name under another configuration: what was told is not told again.
    pub(crate) fn succeed(&mut self, old: &Group) {
        self.notified = old.notified;
        self.state = old.state;
        self.since_at = old.since_at;
    }

    fn status(&self, instances: &[Instance], now: Instant) -> GroupStatus {
        let members = self.members.iter().map(|i| instances[*i].config.name.clone()).collect();
        GroupStatus { name: self.config.name.clone(), state: self.state, since: now.since(self.since_at), members }
    }
}

/// The state of a group whose members are in these.
fn state_of(members: impl Iterator<Item = StateName> + Clone) -> StateName {
    let any = |state| members.clone().any(|member| member == state);
    let all = |state| members.clone().all(|member| member == state);
    match () {
        () if any(StateName::Fault) => StateName::Fault,
        () if all(StateName::Stopped) => StateName::Stopped,
        () if any(StateName::Init) => StateName::Init,
        () if all(StateName::Master) => StateName::Master,
        () if any(StateName::Leaving) => StateName::Leaving,
        () => StateName::Backup,
    }
}

impl Instance {
    /// It is master, or would be if the others were: nobody better is there, or was when it was about to leave.
    fn would_be_master(&self) -> bool {
        match self.state {
            State::Master(_) => true,
            State::Backup(Backup { is_held, .. }) => is_held,
            State::Leaving(Leaving { why: Leave::Failover, successor, .. }) => successor.is_none(),
            State::Leaving(_) | State::Init(_) | State::Fault | State::Stopped => false,
        }
    }

    /// Each other member of the sync group is master or would be. So it is without a group.
    pub(crate) fn is_group_ready(&self) -> bool {
        self.bond.as_ref().is_none_or(|bond| bond.is_ready)
    }

    /// It would be master, others of its sync group would not: the timer starts anew, as keepalived's does.
    pub(crate) fn hold_back(&mut self, now: Instant, backup: Backup, trigger: String, actions: &mut Vec<Action>) {
        let (started_at, master_down_at) = (now, now + self.master_down());
        let timer = DownTimer::MasterDown;
        self.state = State::Backup(Backup { started_at, master_down_at, timer, is_held: true, ..backup });
        // The first time it is the usual moment before another member follows.
        if backup.is_held && !backup.was_told {
            let group = self.bond.as_ref().map_or("", |bond| bond.group.as_str());
            let rule = "a sync group is master when each member can be";
            let decision = format!("wait for the others of {group}");
            self.state = State::Backup(Backup { started_at, master_down_at, timer, was_told: true, ..backup });
            self.explain(Why::new(trigger, rule, decision), actions);
        }
    }

    fn resumes(&self, now: Instant) -> bool {
        match self.state {
            State::Init(Init { resume_until, .. }) => resume_until.is_some_and(|until| now < until),
            State::Master(_) => true,
            State::Backup(_) | State::Leaving(_) | State::Fault | State::Stopped => false,
        }
    }
}

impl Router {
    /// Ties the instances of a new configuration to their groups. An instance belongs to the first group that names it.
    pub(crate) fn install_groups(&mut self, now: Instant, groups: Vec<config::Group>) {
        let old = std::mem::take(&mut self.groups);
        self.group_of = vec![None; self.instances.len()];
        for (g, mut config) in groups.into_iter().enumerate() {
            config.members.retain(|member| self.group_of.get(member.0 as usize) == Some(&None));
            let mut group = Group::new(GroupId(g as u32), config, now);
            if let Some(old) = old.iter().find(|old| old.config.name == group.config.name) {
                group.succeed(old);
            }
            for i in &group.members {
                self.group_of[*i] = Some(g);
                self.instances[*i].bond = Some(Bond { group: group.config.name.clone(), ..Bond::default() });
            }
            self.groups.push(group);
        }
    }

    pub(crate) fn group_statuses(&self, now: Instant) -> Vec<GroupStatus> {
        self.groups.iter().map(|group| group.status(&self.instances, now)).collect()
    }

    /// The other members of the group of `i`; none when it is in no group.
    pub(crate) fn companions(&self, i: usize) -> Vec<usize> {
        let Some(g) = self.group_of[i] else { return Vec::new() };
        self.groups[g].members.iter().copied().filter(|member| *member != i).collect()
    }

    /// `affected`, and with each of them the other members of its group: a fact of one is a fact of all.
    pub(crate) fn with_companions(&self, affected: Vec<usize>) -> Vec<usize> {
        if self.groups.is_empty() {
            return affected;
        }
        let mut all: Vec<usize> = affected.iter().flat_map(|i| self.companions(*i)).chain(affected.clone()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Hands new facts to these instances and to the other members of their groups.
    pub(crate) fn drive_facts(&mut self, affected: Vec<usize>, now: Instant, trigger: &str, actions: &mut Vec<Action>) {
        let all = self.with_companions(affected);
        self.share_obstacles(&all);
        for i in &all {
            self.drive_alone(*i, now, Input::Facts(trigger), actions);
        }
        self.tell_groups(&all, now, actions);
    }

    /// What keeps one member from being master keeps the others.
    fn share_obstacles(&mut self, all: &[usize]) {
        for i in all.iter().copied().filter(|i| self.group_of[*i].is_some()) {
            let companions = self.companions(i);
            let of = |what: fn(&Instance) -> Option<String>| {
                companions.iter().find_map(|c| {
                    let companion = &self.instances[*c];
                    what(companion).map(|obstacle| format!("{} of its group: {obstacle}", companion.config.name))
                })
            };
            let (fault, awaited) = (of(Instance::own_fault), of(Instance::own_awaited));
            if let Some(bond) = &mut self.instances[i].bond {
                (bond.fault, bond.awaited) = (fault, awaited);
            }
        }
    }

    /// Looks up what a member has to know of the others to decide about itself.
    pub(crate) fn look_at_companions(&mut self, i: usize, now: Instant) {
        if self.group_of[i].is_none() {
            return;
        }
        let companions = self.companions(i);
        let all = |is: &dyn Fn(&Instance) -> bool| companions.iter().all(|c| is(&self.instances[*c]));
        let is_ready = all(&Instance::would_be_master);
        let all_own = all(&Instance::is_owner);
        let all_resume = all(&|companion| companion.resumes(now));
        if let Some(bond) = &mut self.instances[i].bond {
            (bond.is_ready, bond.all_own, bond.all_resume) = (is_ready, all_own, all_resume);
        }
    }

    /// After an input to one member: takes the others along.
    pub(crate) fn take_along(&mut self, i: usize, from: StateName, now: Instant, actions: &mut Vec<Action>) {
        let word = self.instances[i].word.take();
        let state = self.instances[i].state;
        if from == state.name() && word.is_none() {
            return;
        }
        let companions = self.companions(i);
        let name = self.instances[i].config.name.clone();
        let input = match (from, state, word) {
            // keepalived: the addresses of the whole group are announced again.
            (_, _, Some(Word::Outranked)) => Some(Input::Outranked),
            (StateName::Master, State::Master(_), _) => None,
            (_, State::Master(_), _) => Some(Input::AllReady(&name)),
            (_, State::Leaving(Leaving { why: Leave::Yield, .. }), _)
            | (StateName::Master | StateName::Leaving, State::Backup(_), _)
            | (_, State::Backup(_), Some(Word::Accepted)) => Some(Input::GiveWay(&name)),
            (_, State::Backup(_) | State::Leaving(_) | State::Init(_) | State::Fault | State::Stopped, _) => None,
        };
        if let Some(input) = input {
            for c in companions {
                self.drive_alone(c, now, input, actions);
            }
        }
        self.tell_groups(&[i], now, actions);
    }

    /// Tells scripts of the new states of the groups of these instances: after the lines of the members.
    pub(crate) fn tell_groups(&mut self, touched: &[usize], now: Instant, actions: &mut Vec<Action>) {
        if self.groups.is_empty() {
            return;
        }
        let mut groups: Vec<usize> = touched.iter().filter_map(|i| self.group_of[*i]).collect();
        groups.sort_unstable();
        groups.dedup();
        for g in groups {
            let group = &mut self.groups[g];
            let state = state_of(group.members.iter().map(|i| self.instances[*i].state.name()));
            if state != group.state {
                (group.state, group.since_at) = (state, now);
            }
            let report = match state {
                StateName::Fault => Report::Fault,
                StateName::Stopped => Report::Stop,
                StateName::Master => Report::Master,
                StateName::Backup => Report::Backup,
                // Nothing that scripts know of: what comes of it is told.
                StateName::Init | StateName::Leaving => continue,
            };
            // One member that is master before or after the others makes no BACKUP of the group.
            let is_mixed = group.members.iter().any(|i| self.instances[*i].state.is_holding());
            if group.notified != Some(report) && !(report == Report::Backup && is_mixed) {
                group.notified = Some(report);
                actions.push(Action::NotifyGroup { group: group.id, state: report });
            }
        }
    }

    /// A command to one member is one to all.
    pub(crate) fn command_all(&mut self, id: InstanceId, now: Instant, input: Input, actions: &mut Vec<Action>) {
        let i = id.0 as usize;
        if i >= self.instances.len() {
            return;
        }
        let all = self.with_companions(vec![i]);
        for member in &all {
            self.drive_alone(*member, now, input, actions);
        }
        self.tell_groups(&all, now, actions);
    }
}
