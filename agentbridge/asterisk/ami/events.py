"""The events that Asterisk is asked to send: classes, and filters that let some of their events through."""

EVENTS = "agent,system,call,user"
# a busy queue sends ten events for each call; these are the ones that change a member
FILTERS = (
    "Event: QueueMember(Added|Removed|Pause|Penalty|Ringinuse)",
    "Event: (FullyBooted|Reload|Shutdown|ContactStatus)",
    # and these follow a call; without the end HangupRequest would be twice as many
    "Event: (Hangup|DeviceStateChange|Newchannel|Newstate|NewConnectedLine|DialBegin|BridgeEnter)[[:space:]]",
    "Event: (Hold|Unhold|AgentCalled|AgentConnect|AgentComplete|QueueCaller)",
    "Event: (MixMonitor|ChanSpy)",
    "Event: MessageWaiting",
    "UserEvent: Agentbridge",
)
