//! Errors of talking to a cluster, in an operator's words.

/// What went wrong between virtroll and a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig, a context that isn't there, credentials that can't be read.
    #[error(
        "no cluster to talk to: {0} (give --kubeconfig or --context, or try without a cluster: --sim FILE)"
    )]
    NoCluster(String),
    /// The API server can't be reached.
    #[error("the cluster does not answer: {0}")]
    Unreachable(String),
    /// This user may not do that.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// This user may not read what a rehearsal can't do without.
    #[error(
        "a rehearsal needs to read {}, and this user may not: have them granted (deploy/rbac/rehearse.yaml holds all that is needed)",
        .0.join(", ")
    )]
    Unreadable(Vec<String>),
    /// An object changed between reading and writing; observe, and decide again.
    #[error("{0}")]
    Conflict(String),
    /// There is no such object, or no such action.
    #[error("{0}")]
    NotFound(String),
    /// The API server refused otherwise.
    #[error("the cluster refused to {what}: {why}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its words.
        why: String,
    },
    /// A record can't be written, and asking again doesn't help by itself.
    #[error("{what}: {why}; {remedy}")]
    Unwritable {
        /// What was to be written.
        what: String,
        /// The API server's words.
        why: String,
        /// What helps.
        remedy: &'static str,
    },
    /// This driver's Lease of a campaign isn't its own any more.
    #[error(
        "campaign {campaign} was driven by somebody else while this virtroll stood still; `virtroll apply` again to see where it is"
    )]
    Lost {
        /// The campaign.
        campaign: String,
    },
    /// Somebody else drives this campaign.
    #[error(
        "campaign {campaign} is being driven by {holder}, who gives signs of life; wait for it, or stop it there with Ctrl-C"
    )]
    Held {
        /// The campaign.
        campaign: String,
        /// Who.
        holder: String,
        /// Its last sign of life.
        renewed: Option<jiff::Timestamp>,
    },
}

impl Error {
    /// Puts a client's error into words; `what` completes "could not …".
    pub fn of(what: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                Self::Forbidden(format!("{what}: {}", status.message))
            }
            kube::Error::Api(status) if status.code == 409 => {
                Self::Conflict(format!("{what}: {}", status.message))
            }
            kube::Error::Api(status) if status.code == 404 => {
                Self::NotFound(format!("{what}: {}", status.message))
            }
            kube::Error::Api(status) => Self::Refused { what: what.to_owned(), why: status.message.clone() },
            other => Self::Unreachable(format!("{what}: {}", chain(&other))),
        }
    }
}

/// What etcd says of an object that is too large for it, and the API server of one that it doesn't even send there.
const TOO_LARGE: [&str; 2] = ["request is too large", "larger than max"];

/// What writing records takes.
const RIGHTS: &str = "grant this user get, list, create and update of maintenancecampaigns, maintenancecampaigns/status and \
                      maintenancecampaignslices in virtroll.dev, and of their customresourcedefinitions";

impl Error {
    /// The same of what a record needs.
    pub(super) fn lasting(self) -> Self {
        match self {
            Self::Forbidden(why) => {
                Self::Unwritable { what: "record the campaign".to_owned(), why, remedy: RIGHTS }
            }
            other => other,
        }
    }

    /// The same for a record, which is written again and again: whether that helps by itself.
    pub(super) fn of_record(what: &str, error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::of(what, error) };
        let is_too_large = status.code == 413 || TOO_LARGE.iter().any(|words| status.message.contains(words));
        let remedy = match status.code {
            _ if is_too_large => {
                "raise the limit (`--max-request-bytes` of etcd), or maintain the nodes that wait by a plan of their own"
            }
            403 => RIGHTS,
            404 => "its kind is defined, and not served: `kubectl describe crd` says why",
            422 => "the definition of its kind, or what else judges it, is not this virtroll's",
            _ => return Self::of(what, kube::Error::Api(status)),
        };
        Self::Unwritable { what: what.to_owned(), why: status.message.clone(), remedy }
    }
}

impl Error {
    /// A record of which the API server kept only a part.
    pub(super) fn forgotten(what: &str) -> Self {
        Self::Unwritable {
            what: what.to_owned(),
            why: "the API server dropped status.slices, which says where the rest of it is".to_owned(),
            remedy: "somebody has put back an older definition of maintenancecampaigns.virtroll.dev; virtroll has brought it up to \
                     date again, so find what puts it there (GitOps, an older virtroll) if this comes again",
        }
    }
}

/// An error with its sources, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
