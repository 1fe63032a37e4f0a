package main

type statusCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *statusCommand) Run() error { return nil }
