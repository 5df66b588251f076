package forge

import "net/url"

// CompareURL returns the page that compares two commits of a repository, or ""
// if its host is not known, or one of the commits is not.
func (f *Forges) CompareURL(r Repository, from, to string) string {
	site, err := f.site(r)
	if err != nil || !fullSHA.MatchString(from) || !fullSHA.MatchString(to) {
		return ""
	}
	switch site.Kind {
	case GitLab:
		return page(site, r, "/-/compare/"+from+"..."+to)
	case Bitbucket:
		return page(site, r, "/branches/compare/"+to+".."+from)
	}
	return page(site, r, "/compare/"+from+"..."+to)
}

// CommitURL returns the page of a commit, or "" if the repository's host is not
// known or the commit is not a full one.
func (f *Forges) CommitURL(r Repository, sha string) string {
	site, err := f.site(r)
	if err != nil || !fullSHA.MatchString(sha) {
		return ""
	}
	switch site.Kind {
	case GitLab:
		return page(site, r, "/-/commit/"+sha)
	case Bitbucket:
		return page(site, r, "/commits/"+sha)
	}
	return page(site, r, "/commit/"+sha)
}

func page(site Site, r Repository, rest string) string {
	return site.web().String() + (&url.URL{Path: r.path()}).EscapedPath() + rest
}
