package main

type checkCommand struct {
	regionFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *checkCommand) Run() error { return nil }
