// Package forgeserver holds servers that stand in for GitHub and GitLab in
// tests of what the operator asks of git hosts. They speak real HTTP, keep what
// they are told in memory, and answer in the form of the hosts' published
// schemas: the answers are written with the hosts' own client types. They list
// in pages, know entity tags, and misbehave on request, as test/fakes does.
package forgeserver
