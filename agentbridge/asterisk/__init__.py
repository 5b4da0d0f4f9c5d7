"""What agentbridge says to Asterisk and sees of it: AMI, ARI and a driver for each thing pushed."""
