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
