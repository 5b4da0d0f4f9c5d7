-- Agents whose phone is a browser: every daemon asks for those at work every other second.
create index agents_browsers on agentbridge.agents (id) where typology = 'webrtc';
